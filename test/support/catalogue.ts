import type { ClientBase } from 'pg';

/**
 * All that the catalogue says of schemas keyturn and audit, one line an object, sorted. Without keyturn.migrations, which is
 * TypeORM's. Rights are spelled out, so that a right granted and revoked again leaves no trace.
 */
export async function catalogue(db: ClientBase): Promise<string[]> {
  const { rows } = await db.query<{ line: string }>(lines);
  return rows.map((row) => row.line).sort();
}

/** The rights of an object, in a fixed order. $1 is the letter acldefault() knows its kind by. */
const rights = (acl: string, kind: string, owner: string): string =>
  `coalesce((SELECT string_agg(
     (CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END) || '=' || a.privilege_type, ' '
     ORDER BY a.grantee, a.privilege_type
   ) FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) a), '')`;

const lines = `
  WITH ours AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname IN ('keyturn', 'audit')),
  relation AS (
    SELECT c.*, c.oid::regclass::text AS name FROM pg_class c JOIN ours ON ours.oid = c.relnamespace
    WHERE c.oid IS DISTINCT FROM to_regclass('keyturn.migrations')
      AND c.relname NOT IN ('migrations_id_seq') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
  )
  SELECT concat_ws(' | ', 'schema', nspname, nspowner::regrole, ${rights('nspacl', 'n', 'nspowner')},
    obj_description(oid, 'pg_namespace')) AS line FROM ours
  UNION ALL
  SELECT concat_ws(' | ', 'default rights', defaclrole::regrole, defaclnamespace, defaclobjtype,
    (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM aclexplode(defaclacl) a)) FROM pg_default_acl
  UNION ALL
  SELECT concat_ws(' | ', 'relation', name, relkind, relowner::regrole, ${rights('relacl', 'r', 'relowner')}, reloptions::text,
    obj_description(oid, 'pg_class'), CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) END) FROM relation
  UNION ALL
  SELECT concat_ws(' | ', 'column', name || '.' || attname, format_type(atttypid, atttypmod), attnotnull, attgenerated,
    (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum),
    (SELECT string_agg(a.grantee::regrole || '=' || a.privilege_type, ' ' ORDER BY a.grantee, a.privilege_type) FROM aclexplode(attacl) a),
    col_description(attrelid, attnum))
    FROM relation JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT concat_ws(' | ', 'constraint', name, conname, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'))
    FROM relation JOIN pg_constraint k ON conrelid = relation.oid
  UNION ALL
  SELECT concat_ws(' | ', 'index', pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class'))
    FROM relation JOIN pg_index ON indrelid = relation.oid
  UNION ALL
  SELECT concat_ws(' | ', 'trigger', name, pg_get_triggerdef(t.oid), tgenabled)
    FROM relation JOIN pg_trigger t ON tgrelid = relation.oid AND NOT tgisinternal
  UNION ALL
  SELECT concat_ws(' | ', 'function', proowner::regrole, ${rights('proacl', 'f', 'proowner')}, obj_description(p.oid, 'pg_proc'),
    pg_get_functiondef(p.oid))
    FROM pg_proc p JOIN ours ON ours.oid = pronamespace
  UNION ALL
  SELECT concat_ws(' | ', 'domain', t.oid::regtype, typowner::regrole, ${rights('typacl', 'T', 'typowner')},
    obj_description(t.oid, 'pg_type'), (SELECT string_agg(conname || pg_get_constraintdef(oid), ' ') FROM pg_constraint WHERE contypid = t.oid))
    FROM pg_type t JOIN ours ON ours.oid = typnamespace WHERE typtype IN ('d', 'e')
`;
