import { printable } from '../common/printable.js';

const cellText = (value: unknown): string => {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return printable(text);
};

/** Rows under headings, aligned for a person. Both may come from outside: a heading of `keyturn sql` is what the statement calls it. */
export function table(headings: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = rows.map((row) => headings.map((_, column) => cellText(row[column])));
  const titles = headings.map(printable);
  const widths = titles.map((heading, column) =>
    Math.max(heading.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(titles), line(widths.map((width) => '-'.repeat(width))), ...cells.map(line)].join('\n');
}
