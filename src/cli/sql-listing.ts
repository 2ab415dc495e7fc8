import type pg from 'pg';
import { printable } from '../common/printable.js';
import { table } from './table.js';

/** What the role that asks may read, and what it may call and get an answer. */
const READABLE = `
  SELECT c.oid, n.nspname AS schema, c.relname AS name, n.nspname || '.' || c.relname AS shown,
    CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END AS kind, obj_description(c.oid, 'pg_class') AS about,
    NULL AS arguments, NULL AS result
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema$)'
    AND has_schema_privilege(n.oid, 'USAGE') AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'))
  UNION ALL
  SELECT p.oid, n.nspname, p.proname, n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
    'function', obj_description(p.oid, 'pg_proc'), pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname !~ '^(pg_|information_schema$)' AND p.prorettype <> 'trigger'::regtype
    AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')`;

interface Readable {
  readonly oid: number;
  readonly shown: string;
  readonly kind: 'view' | 'table' | 'function';
  readonly about: string | null;
  readonly arguments: string | null;
  readonly result: string | null;
}

/** Everything that may be read or called, one line each, with what it is for. */
export async function listing(client: pg.Client): Promise<string> {
  const { rows } = await client.query<Readable>(
    `SELECT * FROM (${READABLE}) readable ORDER BY schema, kind = 'function', name, shown`,
  );
  if (rows.length === 0) return 'There is nothing that this role may read.';
  return `${table(
    ['name', 'kind', 'about'],
    rows.map(({ shown, kind, about }) => [shown, kind, about]),
  )}\n\\d NAME shows the columns of one.`;
}

/** What one of them is, with its columns. `name` with or without its schema, ignoring case. */
export async function description(client: pg.Client, name: string): Promise<string> {
  const { rows } = await client.query<Readable>(
    `SELECT * FROM (${READABLE}) readable WHERE lower($1) IN (name, schema || '.' || name) ORDER BY schema, shown`,
    [name.replace(/\(.*$/s, '').replaceAll('"', '')],
  );
  if (rows.length === 0) return `There is no ${printable(name)} that this role may read. \\d lists what there is.`;
  const parts: string[] = [];
  for (const row of rows) parts.push(await describeOne(client, row));
  return parts.join('\n\n');
}

async function describeOne(client: pg.Client, { oid, shown, kind, about, ...called }: Readable): Promise<string> {
  const title = [`${kind} ${shown}`, ...(about === null ? [] : [about])].map(printable).join('\n');
  if (kind === 'function') {
    return `${title}\n${table(
      ['', ''],
      [
        ['takes', called.arguments === '' ? 'nothing' : called.arguments],
        ['gives', called.result],
      ],
    )
      .split('\n')
      .slice(2)
      .join('\n')}`;
  }
  const { rows } = await client.query<{ name: string; type: string; about: string | null }>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, col_description(attrelid, attnum) AS about
     FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
       AND has_column_privilege(attrelid, attnum, 'SELECT') ORDER BY attnum`,
    [oid],
  );
  return `${title}\n\n${table(
    ['column', 'type', 'about'],
    rows.map((row) => [row.name, row.type, row.about]),
  )}`;
}
