import type { ClientBase } from 'pg';
import { z } from 'zod';
import { FIRST_PREV_HASH } from '../../src/audit/fold-history.js';

/** How much of everything. */
export interface Volumes {
  readonly keys: number;
  /** Beside the event with which each key begins. */
  readonly keyEvents: number;
  readonly users: number;
  /** Beside the event with which each user begins. */
  readonly userEvents: number;
}

/**
 * SQL that fills an empty database, to be run behind the triggers: keys of thirty days each, two of them still to come, and a whole
 * history of them and of users called user1, user2 …
 */
export const manyRows = ({ keys, keyEvents, users, userEvents }: Volumes): string => `
  INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, activation, public_jwk, thumbprint, published_at,
    activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail)
  SELECT n, n || '-AAAAAAAA', 'ES256', true, 'generated', CASE n WHEN 1 THEN 'bootstrap' ELSE 'scheduled' END,
    jsonb_build_object('kty', 'EC', 'crv', 'P-256', 'x', lpad(n::text, 43, 'A'), 'y', lpad(n::text, 43, 'B')), repeat('A', 43),
    began - interval '360 hours', began,
    CASE WHEN n < ${keys} THEN began + interval '360 hours' END,
    CASE WHEN n < ${keys} THEN began + interval '721 hours 1 minute' END,
    '1 hour', '1 hour', '1 hour 1 minute'
  FROM generate_series(1, ${keys}) n, LATERAL (SELECT keyturn.clock() + (n - ${keys} + 1.5) * interval '360 hours' AS began) time;
  INSERT INTO keyturn.users (id, username)
  SELECT ${userId('n')}, 'user' || n FROM generate_series(1, ${users}) n;

  SET timezone = 'UTC';
  CREATE FUNCTION pg_temp.link(head text, entry text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT encode(sha256(convert_to(head || entry, 'UTF8')), 'hex') $$;
  CREATE AGGREGATE pg_temp.chain (entry text) (SFUNC = pg_temp.link, STYPE = text, INITCOND = '${FIRST_PREV_HASH}');
  WITH time AS MATERIALIZED (SELECT keyturn.clock() AS now),
  events AS (
    SELECT row_number() OVER (ORDER BY place, n) AS seq, event, version, kid, id, old, new FROM (
      SELECT 1 AS place, version AS n, CASE version WHEN 1 THEN 'bootstrapped' ELSE 'published' END AS event, version, kid,
        NULL::uuid AS id, NULL::jsonb AS old, jsonb_strip_nulls(to_jsonb(k)) AS new FROM keyturn.signing_keys k
      UNION ALL
      -- There and back again, so that as many as the keys twice over leave each as it is.
      SELECT 2, n, 'scheduled', k.version, k.kid, NULL,
        jsonb_build_object('lead', CASE n / ${keys} % 2 WHEN 0 THEN to_jsonb(k) -> 'lead' ELSE '"02:00:00"' END),
        jsonb_build_object('lead', CASE n / ${keys} % 2 WHEN 0 THEN '"02:00:00"' ELSE to_jsonb(k) -> 'lead' END)
      FROM generate_series(0, ${keyEvents} - 1) n JOIN keyturn.signing_keys k ON k.version = n % ${keys} + 1
      UNION ALL
      SELECT 3, row_number() OVER (ORDER BY id), 'user_created', NULL, NULL, id, NULL, '{"ver": 1, "roles": []}' FROM keyturn.users
      UNION ALL
      SELECT 4, n, 'user_changed', NULL, NULL, ${userId(`n % ${users} + 1`)},
        jsonb_build_object('ver', n / ${users} + 1), jsonb_build_object('ver', n / ${users} + 2)
      FROM generate_series(0, ${userEvents} - 1) n
    ) kinds
  ),
  entries AS (
    SELECT seq, (SELECT row_to_json(members)::text FROM (
      SELECT to_char(now, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, event, version, kid, id AS subject, ${userId('(seq % 500 + 1)')} AS actor,
        NULL AS reason, NULL AS request_id, 'keyturn_app' AS session_user, NULL AS client_addr, 'keyturn server' AS application_name, old, new
    ) members) AS entry
    FROM events, time
  )
  INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
  SELECT seq, lag(hash, 1, '${FIRST_PREV_HASH}') OVER (ORDER BY seq), entry, hash
  FROM (SELECT seq, entry, pg_temp.chain(entry) OVER (ORDER BY seq) AS hash FROM entries) links;
  UPDATE keyturn.users SET ver = 1 + ${userEvents} / ${users} + (right(id::text, 12)::bigint <= ${userEvents} % ${users})::integer;
`;

/** SQL for the id of user number `n`. */
export const userId = (n: string): string => `('00000000-0000-4000-8000-' || lpad((${n})::text, 12, '0'))::uuid`;

/** A node of `EXPLAIN (FORMAT JSON)`. */
const nodeSchema = z.looseObject({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  get Plans() {
    return z.array(nodeSchema).optional();
  },
});
type PlanNode = z.output<typeof nodeSchema>;

/** The tables that the plan of a query reads from end to end. */
export async function readThrough(client: ClientBase, sql: string): Promise<string[]> {
  const { rows } = await client.query<{ 'QUERY PLAN': unknown }>(`EXPLAIN (FORMAT JSON) ${sql}`);
  const [{ Plan }] = z.tuple([z.looseObject({ Plan: nodeSchema })]).parse(rows[0]?.['QUERY PLAN']);
  const below = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(below)];
  return below(Plan)
    .filter((node) => node['Node Type'] === 'Seq Scan')
    .map((node) => node['Relation Name'] ?? '');
}
