import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { z } from 'zod';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { behindTheTriggers, ownFinding, sqlFinding } from './story.js';

/** 1,000 keys of thirty days each, two of them still to come, and 20,000 events: 1,000 of keys, the rest of 1,000 people. */
const MANY = `
  INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, activation, public_jwk, thumbprint, published_at,
    activates_at, retires_at, expires_at, lead, max_token_ttl, verify_tail)
  SELECT n, n || '-AAAAAAAA', 'ES256', true, 'generated', CASE n WHEN 1 THEN 'bootstrap' ELSE 'scheduled' END,
    jsonb_build_object('kty', 'EC', 'crv', 'P-256', 'x', lpad(n::text, 43, 'A'), 'y', lpad(n::text, 43, 'B')), repeat('A', 43),
    began - interval '720 hours', began,
    CASE WHEN n < 1000 THEN began + interval '720 hours' END, CASE WHEN n < 1000 THEN began + interval '721 hours 1 minute' END,
    '1 hour', '1 hour', '1 hour 1 minute'
  FROM generate_series(1, 1000) n, LATERAL (SELECT keyturn.clock() + (n - 998.5) * interval '720 hours' AS began) time;
  INSERT INTO keyturn.users (id, username)
  SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user' || n FROM generate_series(1, 1000) n;

  SET timezone = 'UTC';
  DO $$
  DECLARE
    said record;
    text_of_entry text;
    head text := repeat('0', 64);
  BEGIN
    FOR said IN
      SELECT row_number() OVER (ORDER BY place, n) AS seq, event, version, kid, id, old, new FROM (
        SELECT 1 AS place, version AS n, CASE version WHEN 1 THEN 'bootstrapped' ELSE 'published' END AS event, version, kid,
          NULL::uuid AS id, NULL::jsonb AS old, jsonb_strip_nulls(to_jsonb(k)) AS new FROM keyturn.signing_keys k
        UNION ALL
        SELECT 2, row_number() OVER (ORDER BY id), 'user_created', NULL, NULL, id, NULL, '{"ver": 0, "roles": []}' FROM keyturn.users
        UNION ALL
        SELECT 3, n, 'user_changed', NULL, NULL, ('00000000-0000-4000-8000-' || lpad((n % 1000 + 1)::text, 12, '0'))::uuid,
          jsonb_build_object('ver', n / 1000), jsonb_build_object('ver', n / 1000 + 1)
        FROM generate_series(0, 17999) n
      ) events
    LOOP
      text_of_entry := (SELECT row_to_json(e) FROM (
        SELECT to_char(keyturn.clock(), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, said.event, said.version, said.kid, said.id AS subject,
          '00000000-0000-4000-8000-' || lpad((said.seq % 500 + 1)::text, 12, '0') AS actor, NULL AS reason, NULL AS request_id,
          'keyturn_app' AS session_user, NULL AS client_addr, 'keyturn server' AS application_name, said.old, said.new
      ) e);
      INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
        VALUES (said.seq, head, text_of_entry, encode(sha256(convert_to(head || text_of_entry, 'UTF8')), 'hex'))
        RETURNING hash INTO head;
    END LOOP;
  END $$;
  UPDATE keyturn.users SET ver = 18;
`;

/** A node of `EXPLAIN (FORMAT JSON)`. */
const nodeSchema = z.looseObject({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  get Plans() {
    return z.array(nodeSchema).optional();
  },
});
type PlanNode = z.output<typeof nodeSchema>;

let database: TestDatabase;
let auditor: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  const superuser = await database.connect('superuser');
  await behindTheTriggers(superuser, MANY);
  await superuser.query('ANALYZE keyturn.signing_keys, keyturn.users, keyturn.audit_log');
  auditor = await database.connect('auditor');
}, 60_000);
afterAll(async () => await database.drop());

/** Keys or history, where the plan reads all of them. (A thousand users are so few that reading them all may be cheaper.) */
async function readThrough(sql: string): Promise<string[]> {
  const { rows } = await auditor.query<{ 'QUERY PLAN': unknown }>(`EXPLAIN (FORMAT JSON) ${sql}`);
  const [{ Plan }] = z.tuple([z.looseObject({ Plan: nodeSchema })]).parse(rows[0]?.['QUERY PLAN']);
  const below = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(below)];
  return below(Plan)
    .filter((node) => node['Node Type'] === 'Seq Scan')
    .map((node) => node['Relation Name'] ?? '')
    .filter((table) => table !== 'users');
}

describe('1,000 keys and 20,000 events', () => {
  it('are found whole by both verifications', async () => {
    expect([await sqlFinding(auditor), await ownFinding(auditor)]).toEqual([undefined, undefined]);
  }, 60_000);

  it.each([
    `SELECT * FROM audit.keys_valid_at(now())`,
    `SELECT * FROM audit.keys_valid_at(now() - interval '5 years')`,
    `SELECT * FROM audit.key_for('7-AAAAAAAA', now())`,
    `SELECT * FROM audit.key_schedule`,
    `SELECT * FROM audit.key_history WHERE seq > 100 LIMIT 100`,
    `SELECT * FROM audit.key_history WHERE version = 7`,
    `SELECT * FROM audit.key_timeline WHERE version = 7`,
    `SELECT * FROM audit.user_history WHERE lower(username) = lower('User7')`,
    `SELECT * FROM audit.user_history WHERE user_id = '00000000-0000-4000-8000-000000000007'`,
    `SELECT * FROM audit.user_history LIMIT 100`,
    `SELECT * FROM audit.actions_by('User7')`,
    `SELECT seq, hash FROM audit.chain ORDER BY seq DESC LIMIT 1`,
  ])('are answered from by index: %s', async (sql) => {
    expect(await readThrough(sql)).toEqual([]);
  });
});
