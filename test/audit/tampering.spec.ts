import { generateKeyPairSync } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint } from 'jose';
import type { Client } from 'pg';
import { readHistory } from '../../src/audit/read-history.js';
import { verifyHistory } from '../../src/audit/verify-history.js';
import { history } from '../support/history.js';
import { checkViolation, insufficientPrivilege, refusal } from '../support/refusal.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';
import { addUser } from '../support/users.js';
import {
  behindTheTriggers,
  ownFinding,
  RELINK,
  signHead,
  sqlFinding,
  storeCheckpoint,
  STORY,
  tellStory,
  type Finding,
  type Story,
} from './story.js';

let database: TestDatabase;
let app: Client;
let owner: Client;
let superuser: Client;
let auditor: Client;
let story: Story;

async function open(): Promise<void> {
  database = await createTestDatabase();
  app = await database.connect('app');
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
  auditor = await database.connect('auditor');
}

/** Both verifiers name the same place: row, key or user. */
async function places(): Promise<Omit<Finding, 'problem'>[]> {
  const findings = [await sqlFinding(auditor), await ownFinding(auditor)];
  return findings.map((finding) => {
    if (!finding) throw new Error('nothing was found');
    const { problem: _, ...place } = finding;
    return place;
  });
}

const whole = async (): Promise<boolean[]> => [
  (await sqlFinding(auditor)) === undefined,
  (await ownFinding(auditor)) === undefined,
];

/** Changes what row `seq` says, and its own hash with it. */
const rewriteRow = (seq: number, from: string, to: string): string => `
  UPDATE keyturn.audit_log SET entry = replace(entry, '${from}', '${to}'),
    hash = encode(sha256(convert_to(prev_hash || replace(entry, '${from}', '${to}'), 'UTF8')), 'hex') WHERE seq = ${seq};
`;

/** A row that is well linked to the end, like row `seq` in all but what `from` says. */
const append = (seq: number, from: string, to: string): string => `
  INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
  SELECT head.seq + 1, head.hash, forged.entry, encode(sha256(convert_to(head.hash || forged.entry, 'UTF8')), 'hex')
  FROM (SELECT seq, hash FROM keyturn.audit_log ORDER BY seq DESC LIMIT 1) head,
    (SELECT replace(entry, '${from}', '${to}') AS entry FROM keyturn.audit_log WHERE seq = ${seq}) forged;
`;

describe('history', () => {
  beforeAll(open);
  beforeEach(async () => {
    await database.reset();
    story = await tellStory(app);
  });
  afterAll(async () => await database.drop());

  it('is what the tests below take it for', async () => {
    expect((await history(app)).map((row) => row.said.event)).toEqual(STORY);
  });

  it('is found whole where nobody touched it', async () => {
    await storeCheckpoint(app, story);
    expect(await whole()).toEqual([true, true]);
  });

  it('is found whole after a person was erased', async () => {
    await owner.query('DELETE FROM keyturn.users WHERE id = $1', [story.bob]);
    expect(await whole()).toEqual([true, true]);
  });

  it('is found whole by whoever asks from another time zone', async () => {
    await superuser.query(`SET timezone = 'Asia/Kathmandu'; SET intervalstyle = 'iso_8601'; SET datestyle = 'German'`);
    const found = [await sqlFinding(superuser), await ownFinding(superuser)];
    await superuser.query('RESET ALL');
    expect(found).toEqual([undefined, undefined]);
  });

  it.each([
    `UPDATE keyturn.audit_checkpoints SET jws = jws`,
    'DELETE FROM keyturn.audit_checkpoints',
    'TRUNCATE keyturn.audit_checkpoints',
  ])('keeps its checkpoints from server, owner and superuser: %s', async (sql) => {
    await storeCheckpoint(app, story);
    const answers = [app, owner, superuser].map(async (client) => await refusal(client.query(sql)));
    expect(await Promise.all(answers)).toEqual(answers.map(() => insufficientPrivilege));
  });

  it('takes no checkpoint over a row that it has not', async () => {
    const jws = await signHead(app, story);
    await behindTheTriggers(superuser, 'DELETE FROM keyturn.audit_log WHERE seq = 8');
    expect(await refusal(app.query('INSERT INTO keyturn.audit_checkpoints (jws) VALUES ($1)', [jws]))).toBe(
      checkViolation,
    );
  });

  describe('whose head is signed by somebody who brought in a public key of his own', () => {
    let forged: string;
    beforeEach(async () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const publicJwk = publicKey.export({ format: 'jwk' });
      await app.query(
        `INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, public_jwk, thumbprint, activates_at, retires_at,
           expires_at, lead, max_token_ttl, verify_tail)
         SELECT max(version) + 1, 'partner', 'ES256', false, 'imported', $1, $2, keyturn.clock(), keyturn.clock(),
           keyturn.clock() + interval '1 day', interval '0', interval '1 hour', interval '1 hour'
         FROM keyturn.signing_keys`,
        [publicJwk, await calculateJwkThumbprint(publicJwk)],
      );
      forged = await signHead(app, { ...story, kid: 'partner', privateKey });
    });

    it('is refused', async () => {
      expect(await refusal(app.query('INSERT INTO keyturn.audit_checkpoints (jws) VALUES ($1)', [forged]))).toBe(
        checkViolation,
      );
    });

    it('is found by either verification where triggers were off', async () => {
      await behindTheTriggers(superuser, `INSERT INTO keyturn.audit_checkpoints (jws) VALUES ('${forged}')`);
      expect(await places()).toEqual([{ seq: 9 }, { seq: 9 }]);
    });
  });

  describe('tampered with by somebody who can switch triggers off', () => {
    it.each<[string, string, number]>([
      ['a row was edited, its hash too', rewriteRow(6, 'stands in', 'sits in'), 7],
      ['a row was deleted', 'DELETE FROM keyturn.audit_log WHERE seq = 5', 5],
      ['the first row was deleted', 'DELETE FROM keyturn.audit_log WHERE seq = 1', 1],
      ['two rows were deleted', 'DELETE FROM keyturn.audit_log WHERE seq IN (7, 3)', 3],
      [
        'two rows changed places',
        `UPDATE keyturn.audit_log SET seq = 100 WHERE seq = 4;
         UPDATE keyturn.audit_log SET seq = 4 WHERE seq = 7;
         UPDATE keyturn.audit_log SET seq = 7 WHERE seq = 100`,
        4,
      ],
      [
        'a row was put between two',
        `UPDATE keyturn.audit_log SET seq = seq + 100 WHERE seq > 4;
         ${append(4, 'admin', 'auditor')}
         UPDATE keyturn.audit_log SET seq = 5 WHERE seq = 109;
         UPDATE keyturn.audit_log SET seq = seq - 99 WHERE seq > 100`,
        5,
      ],
      ['an event was forged that contradicts those before', append(6, 'stands in', 'sits in'), 9],
      ['a user was created twice', append(4, 'admin', 'auditor'), 9],
      [
        'a key was published twice, once in the name of a person',
        `WITH forged AS (
           SELECT regexp_replace(entry, '"subject": ?null', '"subject": "00000000-0000-4000-8000-000000000000"') AS entry
           FROM keyturn.audit_log WHERE seq = 2
         )
         INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash)
         SELECT head.seq + 1, head.hash, forged.entry, encode(sha256(convert_to(head.hash || forged.entry, 'UTF8')), 'hex')
         FROM forged, (SELECT seq, hash FROM keyturn.audit_log ORDER BY seq DESC LIMIT 1) head`,
        9,
      ],
      [
        'an event was made of what is none',
        `UPDATE keyturn.audit_log SET entry = forged, hash = encode(sha256(convert_to(prev_hash || forged, 'UTF8')), 'hex')
         FROM (SELECT seq AS place, regexp_replace(entry, '"old":.*', '"old":5,"new":"x"}') AS forged FROM keyturn.audit_log) said
         WHERE seq = place AND seq = 8`,
        8,
      ],
      ['the chain was linked anew without an event', `DELETE FROM keyturn.audit_log WHERE seq = 6; ${RELINK}`, 6],
    ])('names the row where %s', async (_, sql, seq) => {
      await behindTheTriggers(superuser, sql);
      expect(await places()).toMatchObject([{ seq }, { seq }]);
    });

    it.each([
      [`retires_at = NULL, expires_at = NULL WHERE version = 1`, 1],
      [`expires_at = expires_at + interval '1 day' WHERE version = 1`, 1],
      [`max_token_ttl = '1s' WHERE version = 2`, 2],
      [`public_jwk = jsonb_set(public_jwk, '{x}', public_jwk -> 'y') WHERE version = 2`, 2],
      [
        `revoked_at = now(), revocation_reason = 'because', retires_at = activates_at, expires_at = activates_at + verify_tail WHERE version = 2`,
        2,
      ],
    ])('names the key: %s', async (assignment, version) => {
      await behindTheTriggers(superuser, `UPDATE keyturn.signing_keys SET ${assignment}`);
      expect(await places()).toEqual([{ version }, { version }]);
    });

    it('names the key that was brought back from a revocation', async () => {
      await app.query(
        `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked' WHERE version = 1`,
      );
      await behindTheTriggers(
        superuser,
        'UPDATE keyturn.signing_keys SET revoked_at = NULL, revocation_reason = NULL WHERE version = 1',
      );
      expect(await places()).toEqual([{ version: 1 }, { version: 1 }]);
    });

    it('names the key that was deleted', async () => {
      await behindTheTriggers(superuser, 'DELETE FROM keyturn.signing_keys WHERE version = 2');
      expect(await places()).toEqual([{ version: 2 }, { version: 2 }]);
    });

    it.each([
      `UPDATE keyturn.users SET roles = '{admin}' WHERE username = 'Bob'`,
      `UPDATE keyturn.users SET disabled_at = NULL WHERE username = 'Bob'`,
      `UPDATE keyturn.users SET ver = ver + 1 WHERE username = 'Bob'`,
      `UPDATE keyturn.users SET reset_at = now() WHERE username = 'Bob'`,
      `DELETE FROM keyturn.users WHERE username = 'Bob'`,
    ])('names the user: %s', async (sql) => {
      await behindTheTriggers(superuser, sql);
      expect(await places()).toEqual([{ userId: story.bob }, { userId: story.bob }]);
    });

    it('names the user who was slipped in', async () => {
      const id = '00000000-0000-0000-0000-000000000001';
      await behindTheTriggers(
        superuser,
        `INSERT INTO keyturn.users (id, username, roles) VALUES ('${id}', 'mallory', '{admin}')`,
      );
      expect(await places()).toEqual([{ userId: id }, { userId: id }]);
    });

    it('names the next honest event where an edit behind its back was covered by it', async () => {
      await behindTheTriggers(superuser, `UPDATE keyturn.users SET roles = '{admin}' WHERE username = 'Bob'`);
      await app.query(`UPDATE keyturn.users SET roles = '{clerk}' WHERE username = 'Bob'`);
      expect(await places()).toEqual([
        { seq: 9, userId: story.bob },
        { seq: 9, userId: story.bob },
      ]);
    });

    it('names the user whose last event was cut off', async () => {
      await behindTheTriggers(superuser, 'DELETE FROM keyturn.audit_log WHERE seq = 8');
      expect(await places()).toEqual([{ userId: story.bob }, { userId: story.bob }]);
    });
  });

  describe('rewritten from end to end, with keys and users to match', () => {
    // Bob was an administrator for a while; now it never happened.
    const rewrite = `
      DELETE FROM keyturn.audit_log WHERE seq IN (6, 7);
      ${rewriteRow(8, '"ver": 3', '"ver": 1')}
      ${rewriteRow(8, '"ver": 4', '"ver": 2')}
      UPDATE keyturn.users SET ver = 2 WHERE username = 'Bob';
      ${RELINK}`;

    it('cannot be told by itself from one that is true', async () => {
      await behindTheTriggers(superuser, rewrite);
      expect(await whole()).toEqual([true, true]);
    });

    it('is found by the checkpoints that the database has', async () => {
      await storeCheckpoint(app, story);
      await behindTheTriggers(superuser, rewrite);
      expect(await places()).toEqual([{ seq: 8 }, { seq: 8 }]);
    });

    it('is found by a kept checkpoint where those were deleted', async () => {
      const kept = await storeCheckpoint(app, story);
      await behindTheTriggers(superuser, `${rewrite} DELETE FROM keyturn.audit_checkpoints`);
      expect([await whole(), await ownFinding(auditor, [kept])]).toMatchObject([[true, true], { seq: 8 }]);
    });

    it('is found by signatures where a checkpoint was forged', async () => {
      await storeCheckpoint(app, story);
      await behindTheTriggers(superuser, `${rewrite} DELETE FROM keyturn.audit_checkpoints`);
      const [header, , signature] = (await signHead(app, story)).split('.');
      const { rows } = await app.query<{ hash: string }>('SELECT hash FROM keyturn.audit_log WHERE seq = 6');
      const claims = Buffer.from(
        JSON.stringify({ seq: 6, hash: rows[0]?.hash, iat: Math.floor(Date.now() / 1_000) - 60 }),
      ).toString('base64url');
      await app.query('INSERT INTO keyturn.audit_checkpoints (jws) VALUES ($1)', [`${header}.${claims}.${signature}`]);
      expect(await ownFinding(auditor)).toEqual({
        problem: `the stored checkpoint over row 6 cannot be believed: ${story.kid} did not sign it`,
        seq: 6,
      });
    });
  });

  describe('whose end was cut off', () => {
    /** Bob is disabled no more, and no row says that he ever was. */
    const cutOff = `
      DELETE FROM keyturn.audit_log WHERE seq = 8;
      UPDATE keyturn.users SET ver = 3, disabled_at = NULL WHERE username = 'Bob'`;

    it('is found by the checkpoints that the database has', async () => {
      await storeCheckpoint(app, story);
      await behindTheTriggers(superuser, cutOff);
      expect(await places()).toEqual([{ seq: 8 }, { seq: 8 }]);
    });

    it('is found by a kept checkpoint where those were deleted', async () => {
      const kept = await storeCheckpoint(app, story);
      await behindTheTriggers(superuser, `${cutOff}; DELETE FROM keyturn.audit_checkpoints`);
      expect([await whole(), await ownFinding(auditor, [kept])]).toMatchObject([[true, true], { seq: 8 }]);
    });

    it('cannot be found where nobody kept a checkpoint over what is gone', async () => {
      const kept = await storeCheckpoint(app, story);
      const { id } = await addUser(app);
      await behindTheTriggers(
        superuser,
        `DELETE FROM keyturn.users WHERE id = '${id}'; DELETE FROM keyturn.audit_log WHERE subject = '${id}'`,
      );
      expect([await whole(), await ownFinding(auditor, [kept])]).toEqual([[true, true], undefined]);
    });
  });

  it.each([
    [`what is not in it was changed`, `UPDATE keyturn.users SET username = 'robert' WHERE username = 'Bob'`],
    [
      'an edit behind its back was undone before the next event',
      `UPDATE keyturn.users SET roles = '{admin}' WHERE username = 'Bob'; UPDATE keyturn.users SET roles = '{}' WHERE username = 'Bob'`,
    ],
  ])('cannot find that %s', async (_, sql) => {
    await behindTheTriggers(superuser, sql);
    expect(await whole()).toEqual([true, true]);
  });

  // Here and below: docs/dba.md says under "What cannot be found" that this is so.
  describe('appended to by somebody who need edit nothing', () => {
    const lastEvent = async (): Promise<object | undefined> => (await history(app)).at(-1)?.said;
    const asTheServer = { event: 'user_roles_changed', session_user: 'keyturn_app', new: { roles: ['admin'], ver: 5 } };

    it('cannot tell a superuser who takes the name of the server from the server', async () => {
      await superuser.query('BEGIN');
      await superuser.query(
        `SET LOCAL SESSION AUTHORIZATION keyturn_app; SET LOCAL application_name = 'keyturn server'`,
      );
      await superuser.query(`SELECT set_config('keyturn.actor', $1, true)`, [story.anna]);
      await superuser.query(`UPDATE keyturn.users SET roles = '{admin}' WHERE id = $1`, [story.bob]);
      await superuser.query('COMMIT');
      expect(await lastEvent()).toMatchObject({
        ...asTheServer,
        actor: story.anna,
        application_name: 'keyturn server',
      });
      await storeCheckpoint(app, story);
      expect(await whole()).toEqual([true, true]);
    });

    it('cannot tell an edit with an event of its own, past the triggers, from one that they wrote; the next checkpoint is signed over it', async () => {
      await behindTheTriggers(
        superuser,
        `UPDATE keyturn.users SET roles = '{admin}', ver = 5 WHERE username = 'Bob';
         ${append(6, '"ver": 1', '"ver": 4')}
         ${rewriteRow(9, '"ver": 2', '"ver": 5')}`,
      );
      expect(await lastEvent()).toMatchObject({ ...asTheServer, actor: story.anna });
      await storeCheckpoint(app, story);
      expect(await whole()).toEqual([true, true]);
    });

    it('is told from what it was by a copy that was kept elsewhere: what came after is what to ask about', async () => {
      const kept = await storeCheckpoint(app, story);
      await behindTheTriggers(
        superuser,
        `UPDATE keyturn.users SET roles = '{admin}', ver = 5 WHERE username = 'Bob';
         ${append(6, '"ver": 1', '"ver": 4')}
         ${rewriteRow(9, '"ver": 2', '"ver": 5')}`,
      );
      expect([kept.seq, (await history(app)).slice(kept.seq).map((row) => row.said.event)]).toEqual([
        8,
        ['user_roles_changed'],
      ]);
    });
  });
});

describe('history, by somebody who changes the tables themselves', () => {
  beforeEach(async () => {
    await open();
    story = await tellStory(app);
  });
  afterEach(async () => await database.drop());

  it.each<[string, number]>([
    [
      `ALTER TABLE keyturn.audit_log DISABLE TRIGGER USER;
       ALTER TABLE keyturn.audit_log DROP CONSTRAINT ck_audit_log_hash;
       UPDATE keyturn.audit_log SET entry = replace(entry, 'stands in', 'sits in') WHERE seq = 6`,
      6,
    ],
    [
      `ALTER TABLE keyturn.audit_log DISABLE TRIGGER USER;
       ALTER TABLE keyturn.audit_log ALTER COLUMN event DROP EXPRESSION;
       UPDATE keyturn.audit_log SET event = 'user_enabled' WHERE seq = 8`,
      8,
    ],
    [
      `ALTER TABLE keyturn.audit_log DISABLE TRIGGER USER;
       ALTER TABLE keyturn.audit_log DROP CONSTRAINT pk_audit_log;
       ALTER TABLE keyturn.audit_log DROP CONSTRAINT uq_audit_log_prev_hash;
       INSERT INTO keyturn.audit_log (seq, prev_hash, entry, hash) SELECT seq, prev_hash, entry, hash FROM keyturn.audit_log WHERE seq = 4`,
      4,
    ],
    [
      `ALTER TABLE keyturn.audit_log DISABLE TRIGGER USER;
       ALTER TABLE keyturn.audit_log ALTER COLUMN at DROP EXPRESSION, ALTER COLUMN event DROP EXPRESSION,
         ALTER COLUMN version DROP EXPRESSION, ALTER COLUMN subject DROP EXPRESSION, ALTER COLUMN actor DROP EXPRESSION;
       UPDATE keyturn.audit_log SET entry = 'nothing happened',
         hash = encode(sha256(convert_to(prev_hash || 'nothing happened', 'UTF8')), 'hex') WHERE seq = 8`,
      8,
    ],
  ])('names the row as the owner: %s', async (sql, seq) => {
    await owner.query(sql);
    expect(await places()).toMatchObject([{ seq }, { seq }]);
  });

  it('names the user whose roles were changed with triggers disabled', async () => {
    await owner.query('ALTER TABLE keyturn.users DISABLE TRIGGER USER');
    await owner.query(`UPDATE keyturn.users SET roles = '{admin}' WHERE username = 'Bob'`);
    expect(await places()).toEqual([{ userId: story.bob }, { userId: story.bob }]);
  });

  /** Writes events as a trigger would: from a trigger, but of a table of the owner's own. */
  const forge = (...calls: readonly string[]): string => `
    CREATE TABLE keyturn.helper (id integer);
    CREATE FUNCTION keyturn.forge() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN ${calls.map((call) => `PERFORM keyturn.append_history(${call});`).join(' ')} RETURN NULL; END $$;
    CREATE TRIGGER forge AFTER INSERT ON keyturn.helper FOR EACH ROW EXECUTE FUNCTION keyturn.forge();
    INSERT INTO keyturn.helper VALUES (1);
    DROP TABLE keyturn.helper;
    DROP FUNCTION keyturn.forge()`;

  it.each(['NULL', `'{}'`])('names the row that says a key was revoked which never was: %s', async (nothing) => {
    await owner.query(forge(`'revoked', 1, '${story.kid}', NULL, 'leaked', ${nothing}, ${nothing}`));
    expect(await places()).toEqual([
      { seq: 9, version: 1 },
      { seq: 9, version: 1 },
    ]);
  });

  it('cannot tell events of the owner that undo each other from those of our triggers', async () => {
    const roles = (before: string, after: string): string =>
      `'user_roles_changed', NULL, NULL, '${story.bob}', NULL, '{"roles": ${before}}', '{"roles": ${after}}'`;
    await owner.query(forge(roles('[]', '["admin"]'), roles('["admin"]', '[]')));
    await storeCheckpoint(app, story);
    expect((await history(app)).slice(-2).map((row) => row.said.event)).toEqual([
      'user_roles_changed',
      'user_roles_changed',
    ]);
    expect(await whole()).toEqual([true, true]);
  });

  it('is read from the tables by whoever need not believe the views', async () => {
    await owner.query(`UPDATE keyturn.users SET roles = '{clerk}' WHERE username = 'Bob'`);
    await owner.query('ALTER TABLE keyturn.audit_log DISABLE TRIGGER USER');
    await owner.query('DELETE FROM keyturn.audit_log WHERE seq = 5');
    await owner.query(
      `CREATE OR REPLACE VIEW audit.chain AS SELECT seq, prev_hash, entry, hash, at, event, version, subject, actor
       FROM keyturn.audit_log WHERE false`,
    );
    expect((await readHistory(app, 'tables', (stored) => verifyHistory(stored))).misfit).toMatchObject({ seq: 5 });
  });
});
