import type { ClientBase } from 'pg';

/**
 * Everything that the migrations and roles.sql make, as SQL to be read: one block an object, sorted, each under a line `-- ## kind name`.
 * Without months of logins, which come and go, and without rows. The way to restore a database is pg_dump, not this.
 */
export async function schemaDump(db: ClientBase): Promise<string> {
  await db.query(`SET search_path = pg_catalog; SET timezone = 'UTC'`);
  try {
    const { rows } = await db.query<{ heading: string; lines: string }>(BLOCKS);
    return rows.map(({ heading, lines }) => `-- ## ${heading}\n${lines}\n`).join('\n');
  } finally {
    await db.query('RESET search_path; RESET timezone');
  }
}

/** What is said alike by every version that we run on: without the bodies that each version spells in its own way from what it has parsed. */
export const inEveryVersion = (dump: string): string =>
  dump
    .split(/^(?=-- ## )/m)
    .map((block) =>
      block
        .replace(/^(CREATE VIEW [^\n]* AS)\n[^]*?;$/m, '$1 …;')
        .replace(/^BEGIN ATOMIC\n[^]*?^END;$/m, 'BEGIN ATOMIC …'),
    )
    .join('');

/** `COMMENT ON kind name IS '…';` or nothing. */
const comment = (kind: string, name: string, text: string): string =>
  `'COMMENT ON ${kind} ' || ${name} || ' IS ' || quote_literal(${text}) || ';'`;

/** `GRANT …` one line a grantee, the owner left out; $kind is the letter that acldefault() knows the object by. */
const grants = (kind: string, acl: string, owner: string, on: string): string => `
  (SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
     SELECT 'GRANT ' || string_agg(privilege_type, ', ' ORDER BY privilege_type) || ' ON ' || ${on} || ' TO '
       || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || ';' AS line
     FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) WHERE grantee <> ${owner} GROUP BY grantee
   ) each_grant)`;

/** Only when it is not who owns everything. */
const owner = (kind: string, name: string, role: string): string =>
  `CASE WHEN ${role}::regrole::text <> 'keyturn_owner' THEN 'ALTER ${kind} ' || ${name} || ' OWNER TO ' || ${role}::regrole || ';' END`;

const lines = (...parts: readonly string[]): string => `concat_ws(E'\\n', ${parts.join(', ')})`;

const SCHEMAS = `
  SELECT 1 AS place, nspname::text AS sorted, 'schema ' || nspname AS heading, ${lines(
    `'CREATE SCHEMA ' || nspname || ';'`,
    owner('SCHEMA', 'nspname', 'nspowner'),
    comment('SCHEMA', 'nspname', `obj_description(oid, 'pg_namespace')`),
    grants('n', 'nspacl', 'nspowner', `'SCHEMA ' || nspname`),
  )} AS lines FROM ours`;

const DEFAULT_RIGHTS = `
  SELECT 2, defaclobjtype::text, 'default rights on ' || defaclobjtype::text, 'of ' || defaclrole::regrole || ': '
    || coalesce((SELECT string_agg(CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || '=' || privilege_type, ' '
         ORDER BY grantee::regrole::text, privilege_type) FROM aclexplode(defaclacl)), 'none')
  FROM pg_default_acl`;

const DOMAINS = `
  SELECT 3, t.oid::regtype::text, 'domain ' || t.oid::regtype, ${lines(
    `'CREATE DOMAIN ' || t.oid::regtype || ' AS ' || format_type(typbasetype, typtypmod)`,
    `(SELECT string_agg('  CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid), E'\\n' ORDER BY conname COLLATE "C")
       FROM pg_constraint WHERE contypid = t.oid AND contype = 'c') || ';'`,
    owner('DOMAIN', 't.oid::regtype', 'typowner'),
    comment('DOMAIN', 't.oid::regtype', `obj_description(t.oid, 'pg_type')`),
    grants('T', 'typacl', 'typowner', `'TYPE ' || t.oid::regtype`),
  )}
  FROM pg_type t JOIN ours ON ours.oid = typnamespace WHERE typtype = 'd'`;

const FUNCTIONS = `
  SELECT 4, signature, 'function ' || signature, ${lines(
    `rtrim(pg_get_functiondef(p.oid), E'\\n') || ';'`,
    owner('FUNCTION', 'signature', 'proowner'),
    comment('FUNCTION', 'signature', `obj_description(p.oid, 'pg_proc')`),
    grants('f', 'proacl', 'proowner', `'FUNCTION ' || signature`),
  )}
  FROM pg_proc p JOIN ours ON ours.oid = pronamespace CROSS JOIN LATERAL (SELECT p.oid::regprocedure::text AS signature) named
  WHERE prokind = 'f'`;

const COLUMNS = `(
  SELECT string_agg('  ' || attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
    || coalesce(CASE WHEN attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || said || ') STORED' ELSE ' DEFAULT ' || said END, ''),
    E',\\n' ORDER BY attnum)
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  CROSS JOIN LATERAL (SELECT pg_get_expr(adbin, adrelid) AS said) expression
  WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped)`;

// From PostgreSQL 18 on, NOT NULL ('n') is a constraint too; the columns say it in every version.
const CONSTRAINTS = `(
  SELECT string_agg(E',\\n  CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(k.oid), '' ORDER BY contype, conname COLLATE "C")
  FROM pg_constraint k WHERE conrelid = r.oid AND contype IN ('p', 'u', 'f', 'c', 'x'))`;

const COLUMN_COMMENTS = `(
  SELECT string_agg(${comment('COLUMN', `name || '.' || attname`, 'col_description(attrelid, attnum)')}, E'\\n' ORDER BY attnum)
  FROM pg_attribute WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped)`;

const COLUMN_GRANTS = `(
  SELECT string_agg('GRANT ' || privilege_type || ' (' || columns || ') ON ' || name || ' TO ' || role || ';', E'\\n'
    ORDER BY role, privilege_type)
  FROM (
    SELECT privilege_type, grantee::regrole::text AS role, string_agg(attname, ', ' ORDER BY attnum) AS columns
    FROM pg_attribute, aclexplode(attacl) WHERE attrelid = r.oid AND attnum > 0 GROUP BY privilege_type, grantee
  ) each_grant)`;

const INDEXES = `(
  SELECT string_agg(concat_ws(E'\\n', pg_get_indexdef(indexrelid) || ';',
    ${comment('INDEX', 'indexrelid::regclass', `obj_description(indexrelid, 'pg_class')`)}), E'\\n' ORDER BY indexrelid::regclass::text COLLATE "C")
  FROM pg_index WHERE indrelid = r.oid AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = r.oid))`;

const TRIGGERS = `(
  SELECT string_agg(pg_get_triggerdef(t.oid) || ';' || CASE tgenabled WHEN 'O' THEN '' ELSE ' -- enabled: ' || tgenabled::text END, E'\\n'
    ORDER BY tgname COLLATE "C")
  FROM pg_trigger t WHERE tgrelid = r.oid AND NOT tgisinternal)`;

const TABLES = `
  SELECT 5, name, 'table ' || name, ${lines(
    `CASE WHEN relispartition
       THEN 'CREATE TABLE ' || name || ' PARTITION OF ' || (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = r.oid)
         || ' ' || pg_get_expr(relpartbound, r.oid) || ';'
       ELSE 'CREATE TABLE ' || name || E' (\\n' || ${COLUMNS} || coalesce(${CONSTRAINTS}, '') || E'\\n)'
         || CASE relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(r.oid) ELSE '' END || ';' END`,
    owner('TABLE', 'name', 'relowner'),
    comment('TABLE', 'name', `obj_description(r.oid, 'pg_class')`),
    `CASE WHEN NOT relispartition THEN ${lines(COLUMN_COMMENTS, INDEXES, TRIGGERS)} END`,
    grants('r', 'relacl', 'relowner', 'name'),
    COLUMN_GRANTS,
  )}
  FROM relation r WHERE relkind IN ('r', 'p')`;

const VIEWS = `
  SELECT 6, name, relkind_word || ' ' || name, ${lines(
    `'CREATE VIEW ' || name || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '') || ' AS'`,
    `pg_get_viewdef(r.oid)`,
    owner('VIEW', 'name', 'relowner'),
    comment('VIEW', 'name', `obj_description(r.oid, 'pg_class')`),
    COLUMN_COMMENTS,
    grants('r', 'relacl', 'relowner', 'name'),
    COLUMN_GRANTS,
  )}
  FROM relation r CROSS JOIN (VALUES ('view')) word (relkind_word) WHERE relkind = 'v'`;

const BLOCKS = `
  WITH ours AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname IN ('keyturn', 'audit')),
  relation AS (
    SELECT c.*, c.oid::regclass::text AS name FROM pg_class c JOIN ours ON ours.oid = c.relnamespace
    WHERE c.relname !~ '^login_events_[0-9]'
  )
  SELECT heading, lines FROM (${[SCHEMAS, DEFAULT_RIGHTS, DOMAINS, FUNCTIONS, TABLES, VIEWS].join('\nUNION ALL\n')}) block
  ORDER BY place, sorted COLLATE "C"`;
