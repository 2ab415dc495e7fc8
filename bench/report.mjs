/** What the benchmarks share: the world that they run in, how numbers spread, and where reports go. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';

/** Taken before anything is measured: a machine that was not quiet says so. */
export async function machine(postgres) {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  const [{ model }] = cpus();
  return {
    date: new Date().toISOString(),
    ...{ cpu: model, cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30) },
    ...{ platform: `${process.platform} ${process.arch}`, node: process.version, postgres, keyturn: version },
    loadBefore: Number(loadavg()[0].toFixed(2)),
  };
}

export const inWords = ({ date, cpu, cores, memoryGiB, platform, node, postgres, keyturn, loadBefore }) =>
  `${date.slice(0, 10)}. ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${platform}; Node ${node}; PostgreSQL ${postgres}; Keyturn ${keyturn}. ` +
  `Load average before: ${loadBefore}${loadBefore > 0.5 ? ', so the machine was not quiet' : ''}.`;

export const quantile = (numbers, part) =>
  numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))];

export const spread = (numbers) => ({
  median: quantile(numbers, 0.5),
  least: Math.min(...numbers),
  most: Math.max(...numbers),
});

/** Lines of a Markdown table; numbers with so many digits, words as they are. */
export const table = (heads, rows, digits) => [
  `| ${heads.join(' | ')} |`,
  `|---|${'---:|'.repeat(heads.length - 1)}`,
  ...rows.map(
    (row) => `| ${row.map((cell) => (typeof cell === 'number' ? cell.toFixed(digits) : cell)).join(' | ')} |`,
  ),
];

export function shuffled(list) {
  const rest = [...list];
  return list.map(() => rest.splice(Math.floor(Math.random() * rest.length), 1)[0]);
}

/** Prints the report and, unless told --print, writes bench/reports/<name>.md and .json. */
export async function publish(name, lines, json) {
  const text = `${lines.join('\n')}\n`;
  process.stdout.write(text);
  if (process.argv.includes('--print')) return;
  const folder = new URL('reports/', import.meta.url);
  await mkdir(folder, { recursive: true });
  await writeFile(new URL(`${name}.md`, folder), text);
  await writeFile(new URL(`${name}.json`, folder), `${JSON.stringify(json, undefined, 2)}\n`);
}
