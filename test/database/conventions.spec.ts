import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

describe('the database', () => {
  let database: TestDatabase;
  let client: Client;
  beforeAll(async () => {
    database = await createTestDatabase();
    client = await database.connect('superuser');
  });
  afterAll(async () => await database.drop());

  /** What the query finds, by its column `name`. */
  const found = async (sql: string): Promise<string[]> => {
    const { rows } = await client.query<{ name: string }>(
      `WITH ours AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname IN ('keyturn', 'audit')),
       relation AS (
         SELECT c.*, c.oid::regclass::text AS qualified FROM pg_class c JOIN ours ON ours.oid = c.relnamespace
       )
       ${sql}`,
    );
    return rows.map((row) => row.name).sort();
  };

  it('has a comment on every schema', async () => {
    expect(await found(`SELECT nspname AS name FROM ours WHERE obj_description(oid, 'pg_namespace') IS NULL`)).toEqual(
      [],
    );
  });

  it('has a comment on every table and view', async () => {
    const bare = await found(
      `SELECT qualified AS name FROM relation
       WHERE relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND obj_description(oid, 'pg_class') IS NULL`,
    );
    expect(bare).toEqual([]);
  });

  it('has a comment on every column', async () => {
    const bare = await found(
      `SELECT qualified || '.' || attname AS name FROM relation JOIN pg_attribute ON attrelid = relation.oid
       WHERE relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND attnum > 0 AND NOT attisdropped
         AND col_description(attrelid, attnum) IS NULL`,
    );
    expect(bare).toEqual([]);
  });

  it('has a comment on every function', async () => {
    const bare = await found(
      `SELECT p.oid::regprocedure::text AS name FROM pg_proc p JOIN ours ON ours.oid = pronamespace
       WHERE obj_description(p.oid, 'pg_proc') IS NULL`,
    );
    expect(bare).toEqual([]);
  });

  it('has a comment on every index that serves no constraint', async () => {
    const bare = await found(
      `SELECT qualified AS name FROM relation
       WHERE relkind IN ('i', 'I') AND NOT relispartition AND obj_description(oid, 'pg_class') IS NULL
         AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = relation.oid AND contype IN ('p', 'u', 'x'))`,
    );
    expect(bare).toEqual([]);
  });

  it('has a comment on every domain and every other type of its own', async () => {
    const bare = await found(
      `SELECT t.oid::regtype::text AS name FROM pg_type t JOIN ours ON ours.oid = typnamespace
       WHERE typtype IN ('d', 'e', 'r') AND obj_description(t.oid, 'pg_type') IS NULL`,
    );
    expect(bare).toEqual([]);
  });

  it('has a comment on every role', async () => {
    const bare = await found(
      `SELECT rolname AS name FROM pg_roles WHERE rolname LIKE 'keyturn%' AND shobj_description(oid, 'pg_authid') IS NULL`,
    );
    expect(bare).toEqual([]);
  });

  it('has a chosen name, by its kind, on every constraint', async () => {
    // PostgreSQL 18 lists NOT NULL ('n') among the constraints. keyturn.migrations is TypeORM's.
    const odd = await found(
      `SELECT conname AS name FROM pg_constraint JOIN ours ON ours.oid = connamespace
       WHERE contype <> 'n' AND conrelid <> 'keyturn.migrations'::regclass AND conparentid = 0
         AND conname NOT LIKE (CASE contype WHEN 'p' THEN 'pk' WHEN 'f' THEN 'fk' WHEN 'u' THEN 'uq' WHEN 'c' THEN 'ck'
           WHEN 'x' THEN 'ex' ELSE '?' END) || '\\_%'`,
    );
    expect(odd).toEqual([]);
  });

  it('has a chosen name on every index', async () => {
    const odd = await found(
      `SELECT qualified AS name FROM relation JOIN pg_index ON indexrelid = relation.oid
       WHERE NOT relispartition AND indrelid <> 'keyturn.migrations'::regclass AND relname !~ '^(pk|uq|ex|ix)_'`,
    );
    expect(odd).toEqual([]);
  });

  it('says of every instant in which time zone it is', async () => {
    const zoneless = await found(
      `SELECT qualified || '.' || attname AS name FROM relation JOIN pg_attribute ON attrelid = relation.oid
       WHERE attnum > 0 AND NOT attisdropped AND atttypid IN ('timestamp'::regtype, 'time'::regtype)`,
    );
    expect(zoneless).toEqual([]);
  });

  it('grants nothing to PUBLIC', async () => {
    const granted = await found(
      `SELECT 'schema ' || nspname AS name FROM ours, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) WHERE grantee = 0
       UNION ALL
       SELECT 'relation ' || qualified FROM relation, aclexplode(relacl) WHERE grantee = 0
       UNION ALL
       SELECT 'column ' || qualified || '.' || attname FROM relation JOIN pg_attribute ON attrelid = relation.oid, aclexplode(attacl)
         WHERE grantee = 0
       UNION ALL
       SELECT 'function ' || p.oid::regprocedure FROM pg_proc p JOIN ours ON ours.oid = pronamespace,
         aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0
       UNION ALL
       SELECT 'type ' || t.oid::regtype FROM pg_type t JOIN ours ON ours.oid = typnamespace,
         aclexplode(coalesce(typacl, acldefault('T', typowner))) WHERE grantee = 0 AND typtype IN ('d', 'e', 'r')`,
    );
    expect(granted).toEqual([]);
  });

  it('has an index for each foreign key that begins with its columns', async () => {
    const unserved = await found(
      `SELECT conname AS name FROM pg_constraint k JOIN ours ON ours.oid = connamespace
       WHERE contype = 'f' AND NOT EXISTS (
         SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL
           AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
       )`,
    );
    expect(unserved).toEqual([]);
  });

  it('fixes the search path of every function that runs with its owner’s rights', async () => {
    const loose = await found(
      `SELECT p.oid::regprocedure::text AS name FROM pg_proc p JOIN ours ON ours.oid = pronamespace
       WHERE prosecdef AND NOT EXISTS (SELECT FROM unnest(proconfig) setting WHERE setting LIKE 'search_path=%')`,
    );
    expect(loose).toEqual([]);
  });

  it('names the temporary schema last in every fixed search path', async () => {
    const loose = await found(
      `SELECT p.oid::regprocedure::text AS name FROM pg_proc p JOIN ours ON ours.oid = pronamespace, unnest(proconfig) setting
       WHERE setting LIKE 'search_path=%' AND setting NOT LIKE '%, pg_temp'`,
    );
    expect(loose).toEqual([]);
  });

  it.each([
    ['audit_log', 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'],
    ['signing_keys', 'DELETE, TRUNCATE, REFERENCES, TRIGGER'],
    ['signing_key_secrets', 'DELETE, TRUNCATE, REFERENCES, TRIGGER'],
    ['users', 'DELETE, TRUNCATE, REFERENCES, TRIGGER'],
    ['current_change', 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'],
  ])('does not let the server touch %s by %s', async (table, privileges) => {
    const { rows } = await client.query<{ may: boolean }>(
      `SELECT has_table_privilege('keyturn_app', 'keyturn.' || $1, $2) AS may`,
      [table, privileges],
    );
    expect(rows).toEqual([{ may: false }]);
  });

  it('does not let the server touch a single column of history', async () => {
    const may = await found(
      `SELECT attname AS name FROM pg_attribute
       WHERE attrelid = 'keyturn.audit_log'::regclass AND attnum > 0
         AND has_column_privilege('keyturn_app', attrelid, attnum, 'INSERT, UPDATE')`,
    );
    expect(may).toEqual([]);
  });

  it('lets the server change of a key what may lie ahead, and nothing else', async () => {
    const may = await found(
      `SELECT attname AS name FROM pg_attribute
       WHERE attrelid = 'keyturn.signing_keys'::regclass AND attnum > 0
         AND has_column_privilege('keyturn_app', attrelid, attnum, 'UPDATE')`,
    );
    expect(may).toEqual([
      'activates_at',
      'activation',
      'expires_at',
      'private_key_destroyed_at',
      'retires_at',
      'revocation_reason',
      'revoked_at',
    ]);
  });

  it('does not let the server set what the database stamps on a user', async () => {
    const may = await found(
      `SELECT attname AS name FROM pg_attribute
       WHERE attrelid = 'keyturn.users'::regclass AND attname IN ('id', 'ver', 'created_at')
         AND has_column_privilege('keyturn_app', attrelid, attnum, 'UPDATE')`,
    );
    expect(may).toEqual([]);
  });

  it('lets the auditor into schema audit alone', async () => {
    const schemas = await found(
      `SELECT nspname AS name FROM ours WHERE has_schema_privilege('keyturn_auditor', oid, 'USAGE, CREATE')`,
    );
    expect(schemas).toEqual(['audit']);
  });

  it('lets the auditor read each view there, and write none', async () => {
    const wrong = await found(
      `SELECT qualified AS name FROM relation
       WHERE relkind IN ('r', 'p', 'v', 'm') AND (
         (relnamespace = 'audit'::regnamespace) <> has_table_privilege('keyturn_auditor', oid, 'SELECT')
         OR has_table_privilege('keyturn_auditor', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
         OR relnamespace <> 'audit'::regnamespace AND has_any_column_privilege('keyturn_auditor', oid, 'SELECT, INSERT, UPDATE, REFERENCES')
       )`,
    );
    expect(wrong).toEqual([]);
  });

  it('answers the auditor through every view', async () => {
    const auditor = await database.connect('auditor');
    const views = await found(
      `SELECT qualified AS name FROM relation WHERE relkind = 'v' AND relnamespace = 'audit'::regnamespace`,
    );
    for (const view of views) await auditor.query(`SELECT * FROM ${view}`);
    expect(views).toContain('audit.key_timeline');
  });
});
