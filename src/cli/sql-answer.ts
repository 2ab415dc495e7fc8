import pg from 'pg';
import { printable } from '../common/printable.js';
import { table } from './table.js';

/** What Postgres answered to one statement, as text in its own words. */
export interface SqlAnswer {
  /** Empty: the statement gives no rows. */
  readonly columns: readonly string[];
  /** The first ones, as many as were asked for. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** How many there were, or how many rows were changed. */
  readonly count: number;
}

/** Runs one statement and keeps at most `limit` rows, however many come. @throws pg.DatabaseError */
export function ask(client: pg.Client, text: string, limit = Infinity): Promise<SqlAnswer> {
  const config: pg.QueryArrayConfig = { text, rowMode: 'array', types: { getTypeParser: () => asText } };
  const query = new pg.Query<Record<string, string | null>>(config);
  const rows: (string | null)[][] = [];
  let given = 0;
  return new Promise((resolve, reject) => {
    query.on('row', (row) => {
      given += 1;
      if (rows.length < limit) rows.push(Object.values(row));
    });
    query.on('error', reject);
    query.on('end', ({ fields, rowCount }) => {
      const columns = fields.map((field) => field.name);
      resolve({ columns, rows, count: columns.length > 0 ? given : (rowCount ?? 0) });
    });
    client.query(query);
  });
}

const asText = (value: string): string => value;

/** How an answer is shown. */
export interface Look {
  /** Characters of a cell at most; the rest is an ellipsis. */
  readonly widest: number;
  /** One line a column instead of one line a row. Nothing is cut. */
  readonly expanded: boolean;
}

export const WHOLE: Look = { widest: Infinity, expanded: false };

/** An answer for a person: safe for a terminal, with a note of what is not shown. */
export function answerText({ columns, rows, count }: SqlAnswer, { widest, expanded }: Look): string {
  if (columns.length === 0) return `(${rowsText(count)})`;
  const names = columns.map(printable);
  const cells = rows.map((row) => row.map((cell) => printable(cell ?? '')));
  const shown = expanded
    ? expandedText(names, cells)
    : table(
        names,
        cells.map((row) => row.map((cell) => cut(cell, widest))),
      );
  const isCut = !expanded && cells.some((row) => row.some((cell) => cell.length > widest));
  const notes = [
    rows.length < count ? `the first ${rows.length} of ${rowsText(count)}: say WHERE or LIMIT` : rowsText(count),
    ...(isCut ? ['… is more: \\x shows all of it'] : []),
  ];
  return `${shown}${shown === '' ? '' : '\n'}(${notes.join('; ')})`;
}

const rowsText = (count: number): string => (count === 1 ? '1 row' : `${count} rows`);

const cut = (cell: string, widest: number): string => (cell.length > widest ? `${cell.slice(0, widest - 1)}…` : cell);

const expandedText = (names: readonly string[], rows: readonly (readonly string[])[]): string => {
  const width = Math.max(...names.map((name) => name.length));
  return rows
    .map((row, index) =>
      [
        `-- ${index + 1} --`,
        ...names.map((name, column) => `${name.padEnd(width)}  ${row[column] ?? ''}`.trimEnd()),
      ].join('\n'),
    )
    .join('\n');
};

/** What Postgres has against a statement, for a person. */
export function complaintText({ message, detail, hint }: pg.DatabaseError): string {
  const lines = [`Postgres: ${message}`, ...(detail ? [`  ${detail}`] : []), ...(hint ? [`  Hint: ${hint}`] : [])];
  return lines.map(printable).join('\n');
}
