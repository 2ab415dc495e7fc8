import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { JWK } from 'jose';
import type { Client } from 'pg';
import { checkViolation, exclusionViolation, insufficientPrivilege, refusal } from '../support/refusal.js';
import {
  allKeys,
  bootstrapKey,
  day,
  hmac,
  hour,
  lead,
  minute,
  newPair,
  only,
  publishKey,
  verifyTail,
  type KeyRow,
} from '../support/signing-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let database: TestDatabase;
let app: Client;
let owner: Client;
let superuser: Client;

beforeAll(async () => {
  database = await createTestDatabase();
  app = await database.connect('app');
  owner = await database.connect('owner');
  superuser = await database.connect('superuser');
});
beforeEach(async () => await database.reset());
afterAll(async () => await database.drop());

const everybody = () => [app, owner, superuser];

/** What each of server, owner and superuser is answered. */
async function refusals(sql: string, values: readonly unknown[] = []): Promise<(string | undefined)[]> {
  const answers: (string | undefined)[] = [];
  for (const client of everybody()) answers.push(await refusal(client.query(sql, [...values])));
  return answers;
}

async function key(version: number): Promise<KeyRow> {
  return only(await app.query<KeyRow>('SELECT * FROM keyturn.signing_keys WHERE version = $1', [version]));
}

async function clock(): Promise<number> {
  return only(await app.query<{ now: Date }>('SELECT keyturn.clock() AS now')).now.getTime();
}

async function moveTo(column: 'activates_at' | 'retires_at' | 'expires_at', version: number, by: number, db = app) {
  await db.query(
    `UPDATE keyturn.signing_keys SET ${column} = ${column} + $2 * interval '1 millisecond' WHERE version = $1`,
    [version, by],
  );
}

/** As somebody at psql would type it. */
async function revoke(version: number, reason = 'leaked', db: Client = app): Promise<void> {
  await db.query(
    `UPDATE keyturn.signing_keys SET revoked_at = keyturn.clock(), revocation_reason = $2 WHERE version = $1`,
    [version, reason],
  );
}

/** The standby and the key before it, moved in one statement. */
async function takeOver(version: number, activation: 'early' | 'forced', db: Client = app): Promise<void> {
  await db.query(
    `UPDATE keyturn.signing_keys k SET
       activation = CASE WHEN k.version = $1 THEN $2 ELSE k.activation END,
       activates_at = CASE WHEN k.version = $1 THEN keyturn.begin_change() ELSE k.activates_at END,
       retires_at = CASE WHEN k.version = $1 THEN k.retires_at ELSE keyturn.begin_change() END,
       expires_at = CASE WHEN k.version = $1 THEN k.expires_at ELSE keyturn.begin_change() + k.verify_tail END
     FROM keyturn.signing_keys standby
     WHERE standby.version = $1 AND (k.version = $1 OR (k.signs AND k.retires_at = standby.activates_at))`,
    [version, activation],
  );
}

async function destroy(version: number, db: Client = app): Promise<void> {
  await db.query(`UPDATE keyturn.signing_keys SET private_key_destroyed_at = keyturn.clock() WHERE version = $1`, [
    version,
  ]);
}

async function sealedVersions(): Promise<number[]> {
  const { rows } = await app.query<{ version: number }>(
    'SELECT version FROM keyturn.signing_key_secrets ORDER BY version',
  );
  return rows.map((row) => row.version);
}

describe('a new signing key', () => {
  it('is published when the database says', async () => {
    const before = await clock();
    const made = await bootstrapKey(app, { activatesIn: day, publishedIn: -day });
    expect(made.published_at.getTime()).toBeGreaterThanOrEqual(before);
  });

  it('has the next version, without a gap', async () => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { version: 3 }))).toBe(checkViolation);
  });

  it('never has a version that another had', async () => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { version: 1 }))).toBe(checkViolation);
  });

  it('begins to sign where the key before it ends', async () => {
    await bootstrapKey(app);
    const standby = await publishKey(app);
    expect((await key(1)).retires_at).toEqual(standby.activates_at);
  });

  it('cannot sign in the past', async () => {
    expect(await refusal(bootstrapKey(superuser, { activatesIn: -1 }))).toBe(checkViolation);
  });

  it('cannot be scheduled before it was public for its lead', async () => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { activatesIn: lead - 1 }))).toBe(checkViolation);
  });

  it('cannot buy lead with an earlier publication of its own telling', async () => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { activatesIn: lead - 1, publishedIn: -day }))).toBe(checkViolation);
  });

  it('can be scheduled for the very end of its lead', async () => {
    await bootstrapKey(app);
    expect(await publishKey(app, { activatesIn: lead })).toMatchObject({ version: 2, activation: 'scheduled' });
  });

  it.each(['early', 'forced'] as const)('is not made as a takeover: %s', async (activation) => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { activation }))).toBe(checkViolation);
  });

  it('is the bootstrap only of a ring that never had a signer', async () => {
    await bootstrapKey(app);
    await revoke(1);
    expect(await refusal(bootstrapKey(superuser))).toBe(checkViolation);
  });

  it('is no emergency while another key signs', async () => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { activation: 'emergency', activatesIn: day }))).toBe(checkViolation);
  });

  it('may sign at once, as an emergency, when no key is left', async () => {
    await bootstrapKey(app);
    await revoke(1);
    const made = await publishKey(app, { activation: 'emergency', activatesIn: 0 });
    expect(made.activates_at).toEqual(made.published_at);
  });

  it('is refused where its window overlaps another', async () => {
    await bootstrapKey(app);
    const { publicJwk, thumbprint } = await newPair();
    const overlapping = superuser.query(
      `INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, activation, public_jwk, thumbprint,
         activates_at, published_at, lead, max_token_ttl, verify_tail)
       SELECT 2, '2-' || left($1, 8), 'ES256', true, 'generated', 'scheduled', $2, $1,
         keyturn.begin_change() + interval '1 day', now(), lead, max_token_ttl, verify_tail
       FROM keyturn.signing_keys`,
      [thumbprint, JSON.stringify(publicJwk)],
    );
    expect(await refusal(overlapping)).toBe(exclusionViolation);
  });

  it('cannot come revoked', async () => {
    await bootstrapKey(app);
    const copy = superuser.query(
      `INSERT INTO keyturn.signing_keys (version, kid, algorithm, signs, origin, public_jwk, thumbprint, activates_at, retires_at,
         expires_at, published_at, lead, max_token_ttl, verify_tail, revoked_at, revocation_reason)
       SELECT 2, 'given', algorithm, false, 'imported', public_jwk, thumbprint, activates_at, activates_at,
         activates_at + interval '1 day', published_at, lead, max_token_ttl, verify_tail, activates_at, 'leaked'
       FROM keyturn.signing_keys`,
    );
    expect(await refusal(copy)).toBe(checkViolation);
  });

  it('is refused when it carries a private half in its public one', async () => {
    const pair = await newPair();
    const attempt = bootstrapKey(app, { pair: { ...pair, publicJwk: { ...pair.publicJwk, d: 'AQAB' } } });
    expect(await refusal(attempt)).toBe(checkViolation);
  });

  it.each([
    ['a key of another kind', { kty: 'RSA', n: 'A'.repeat(342), e: 'AQAB' }],
    ['another curve', { crv: 'P-384' }],
    ['no coordinate', { y: undefined }],
    ['a number for a coordinate', { x: 1 }],
    ['a list for a coordinate', { x: ['A'.repeat(43)] }],
    ['a coordinate cut short', { x: 'AAAA' }],
    ['text that is not base64url', { x: '+'.repeat(43) }],
  ])('is refused where its public half has not the members of its algorithm: %s', async (_, members) => {
    const pair = await newPair();
    const publicJwk: JWK = { ...pair.publicJwk, ...Object.fromEntries(Object.entries(members)) };
    expect(await refusal(bootstrapKey(superuser, { pair: { ...pair, publicJwk } }))).toBe(checkViolation);
  });

  it.each([
    ['no exponent', { kty: 'RSA', n: 'A'.repeat(342) }],
    ['no modulus', { kty: 'RSA', e: 'AQAB' }],
    ['a modulus cut short', { kty: 'RSA', n: 'A'.repeat(341), e: 'AQAB' }],
    ['a number for the exponent', { kty: 'RSA', n: 'A'.repeat(342), e: 65537 }],
    ['a curve', { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) }],
  ])('is refused where its RSA half has %s', async (_, publicJwk) => {
    const { thumbprint } = await newPair();
    const pair = { algorithm: 'RS256', publicJwk: Object.fromEntries(Object.entries(publicJwk)), thumbprint };
    expect(await refusal(bootstrapKey(superuser, { pair }))).toBe(checkViolation);
  });

  it('renews only the pair it names', async () => {
    await bootstrapKey(app);
    expect(await refusal(publishKey(superuser, { renewedFrom: 1 }))).toBe(checkViolation);
  });
});

describe('what was written of a key', () => {
  beforeEach(async () => {
    await bootstrapKey(app);
    await publishKey(app);
  });

  it.each([
    `kid = '2-AAAAAAAA'`,
    `version = 7`,
    `algorithm = 'ES384'`,
    `signs = false`,
    `origin = 'imported'`,
    `renewed_from = 1`,
    `public_jwk = public_jwk || '{"use": "sig"}'`,
    `thumbprint = reverse(thumbprint)`,
    `published_at = published_at - interval '1 day'`,
    `lead = '0'`,
    `max_token_ttl = '1 minute'`,
    `verify_tail = '2 hours'`,
  ])('never changes: %s', async (assignment) => {
    expect(await refusals(`UPDATE keyturn.signing_keys SET ${assignment} WHERE version = 2`)).toEqual([
      insufficientPrivilege,
      checkViolation,
      checkViolation,
    ]);
  });

  it('cannot be deleted by anybody', async () => {
    expect(await refusals('DELETE FROM keyturn.signing_keys')).toEqual(everybody().map(() => insufficientPrivilege));
  });

  it('cannot be truncated by anybody', async () => {
    expect(await refusals('TRUNCATE keyturn.signing_keys, keyturn.signing_key_secrets')).toEqual(
      everybody().map(() => insufficientPrivilege),
    );
  });
});

describe('a takeover', () => {
  let standby: KeyRow;
  beforeEach(async () => {
    await bootstrapKey(app);
    standby = await publishKey(app);
  });

  it('that has passed stays', async () => {
    const moved = `UPDATE keyturn.signing_keys SET activates_at = activates_at + interval '1 second' WHERE version = 1`;
    expect(await refusals(moved)).toEqual(everybody().map(() => checkViolation));
  });

  it('that has passed keeps the way it came about', async () => {
    const renamed = `UPDATE keyturn.signing_keys SET activation = 'forced' WHERE version = 1`;
    expect(await refusals(renamed)).toEqual(everybody().map(() => checkViolation));
  });

  it('that lies ahead may move back, and the key before it signs on until then', async () => {
    await moveTo('activates_at', 2, day);
    const moved = standby.activates_at.getTime() + day;
    expect([(await key(2)).activates_at.getTime(), (await key(1)).retires_at?.getTime()]).toEqual([moved, moved]);
  });

  it('moved back leaves the key before it its whole tail', async () => {
    await moveTo('activates_at', 2, day);
    const { retires_at: retires, expires_at: expires } = await key(1);
    expect((expires?.getTime() ?? 0) - (retires?.getTime() ?? 0)).toBe(verifyTail);
  });

  it('that lies ahead may not move forward over the key that signs', async () => {
    expect(await refusal(moveTo('activates_at', 2, -day, superuser))).toBe(exclusionViolation);
  });

  it('cannot be moved into the past', async () => {
    expect(await refusal(moveTo('activates_at', 2, -31 * day, superuser))).toBe(checkViolation);
  });

  it.each(['emergency', 'bootstrap'])('cannot be called %s by hand', async (activation) => {
    expect(await refusals(`UPDATE keyturn.signing_keys SET activation = $1 WHERE version = 2`, [activation])).toEqual(
      everybody().map(() => checkViolation),
    );
  });

  it('is refused as early while the standby is younger than its lead', async () => {
    await database.moveClock(lead - minute);
    expect(await refusal(takeOver(2, 'early', superuser))).toBe(checkViolation);
  });

  it('may be forced before that', async () => {
    await takeOver(2, 'forced');
    const forced = await key(2);
    expect([forced.activation, (await key(1)).retires_at]).toEqual(['forced', forced.activates_at]);
  });

  it('may come early once the standby was public for its lead', async () => {
    await database.moveClock(lead + minute);
    await takeOver(2, 'early');
    const early = await key(2);
    expect([early.activation, (await key(1)).retires_at]).toEqual(['early', early.activates_at]);
  });

  it('happens by the clock alone, without any statement', async () => {
    await database.moveClock(30 * day + minute);
    const { rows } = await app.query('SELECT version, state FROM audit.key_timeline');
    expect(rows).toEqual([
      { version: 1, state: 'retiring' },
      { version: 2, state: 'active' },
    ]);
  });

  it('that has passed by the clock stays for both keys', async () => {
    await database.moveClock(30 * day + minute);
    const answers = [
      await refusal(moveTo('activates_at', 2, day, superuser)),
      await refusal(moveTo('retires_at', 1, -day, superuser)),
    ];
    expect(answers).toEqual([checkViolation, checkViolation]);
  });

  it('is met again by an end that was moved by hand', async () => {
    await moveTo('retires_at', 1, -day);
    expect((await key(1)).retires_at).toEqual(standby.activates_at);
  });

  it('cannot be overrun by an end that was moved by hand', async () => {
    const overrun = `UPDATE keyturn.signing_keys SET retires_at = NULL, expires_at = NULL WHERE version = 1`;
    expect(await refusals(overrun)).toEqual(everybody().map(() => exclusionViolation));
  });

  it('leaves tokens their whole life: an expiry cannot come before the tail is over', async () => {
    expect(await refusal(moveTo('expires_at', 1, -1, superuser))).toBe(checkViolation);
  });

  it('leaves an expiry that lies ahead free to move on', async () => {
    const { expires_at: before } = await key(1);
    await moveTo('expires_at', 1, day);
    expect((await key(1)).expires_at?.getTime()).toBe((before?.getTime() ?? 0) + day);
  });

  it('leaves an expiry that has passed where it is', async () => {
    await database.moveClock(30 * day + verifyTail + minute);
    expect(await refusal(moveTo('expires_at', 1, day, superuser))).toBe(checkViolation);
  });

  it('is the only way an active key ends by hand: it signs on while nobody follows', async () => {
    await revoke(2, 'superseded');
    // Refused or mended, as the database likes.
    await app
      .query(
        `UPDATE keyturn.signing_keys SET retires_at = keyturn.begin_change(), expires_at = keyturn.begin_change() + verify_tail
         WHERE version = 1`,
      )
      .catch(() => {});
    const { rows } = await app.query('SELECT state FROM audit.key_timeline WHERE version = 1');
    expect(rows).toEqual([{ state: 'active' }]);
  });
});

describe('a revocation typed by hand', () => {
  it('is stamped by the database, whatever was typed', async () => {
    await bootstrapKey(app);
    const before = await clock();
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = '2001-01-01Z', revocation_reason = 'leaked' WHERE version = 1`,
    );
    expect((await key(1)).revoked_at?.getTime()).toBeGreaterThanOrEqual(before);
  });

  it('closes its window at that instant', async () => {
    await bootstrapKey(app);
    await revoke(1);
    const { revoked_at: revoked, retires_at: retires } = await key(1);
    expect(retires).toEqual(revoked);
  });

  it('needs a reason', async () => {
    await bootstrapKey(app);
    expect(await refusals('UPDATE keyturn.signing_keys SET revoked_at = now()')).toEqual(
      everybody().map(() => checkViolation),
    );
  });

  it('lets the standby take over in the same statement, as an emergency, where the window ends', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    await revoke(1);
    const standby = await key(2);
    expect([standby.activation, standby.activates_at]).toEqual(['emergency', (await key(1)).revoked_at]);
  });

  it('heals the same for the owner and for a superuser', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    await publishKey(app, { activatesIn: 60 * day });
    await revoke(1, 'leaked', owner);
    await revoke(2, 'leaked', superuser);
    expect((await key(3)).activates_at).toEqual((await key(2)).revoked_at);
  });

  it('lets the nearest of two standbys take over', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    const later = await publishKey(app, { activatesIn: 60 * day });
    await revoke(1);
    expect([(await key(2)).activation, (await key(2)).retires_at]).toEqual(['emergency', later.activates_at]);
  });

  it('of the only key succeeds, and leaves nobody to sign', async () => {
    await bootstrapKey(app);
    await revoke(1);
    const { rows } = await app.query('SELECT state FROM audit.key_timeline');
    expect(rows).toEqual([{ state: 'revoked' }]);
  });

  it('of every key at once succeeds', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    await app.query(`UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'all of them'`);
    const { rows } = await app.query('SELECT DISTINCT state FROM audit.key_timeline');
    expect(rows).toEqual([{ state: 'revoked' }]);
  });

  it('of the standby leaves it an empty window and re-opens the active key', async () => {
    await bootstrapKey(app);
    const standby = await publishKey(app);
    await revoke(2);
    expect([(await key(2)).retires_at, (await key(1)).retires_at, (await key(1)).expires_at]).toEqual([
      standby.activates_at,
      null,
      null,
    ]);
  });

  it('of the standby in the middle lets the active key sign until the next is due', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    const later = await publishKey(app, { activatesIn: 60 * day });
    await revoke(2);
    expect((await key(1)).retires_at).toEqual(later.activates_at);
  });

  it('of a retiring key leaves its window as it was', async () => {
    await bootstrapKey(app);
    const standby = await publishKey(app);
    await database.moveClock(30 * day + minute);
    await revoke(1);
    expect((await key(1)).retires_at).toEqual(standby.activates_at);
  });

  it('of a retiring key leaves the active one alone', async () => {
    await bootstrapKey(app);
    const standby = await publishKey(app);
    await database.moveClock(30 * day + minute);
    await revoke(1);
    expect(await key(2)).toEqual(standby);
  });

  it('bites every key with the same pair', async () => {
    const pair = await newPair();
    await bootstrapKey(app, { pair });
    await publishKey(app, { pair, renewedFrom: 1 });
    await revoke(1);
    expect((await key(2)).revoked_at).toEqual((await key(1)).revoked_at);
  });

  it('passes its reason on to every key with the same pair', async () => {
    const pair = await newPair();
    await bootstrapKey(app, { pair });
    await publishKey(app, { pair, renewedFrom: 1 });
    await revoke(2, 'found in a log');
    expect((await key(1)).revocation_reason).toBe('found in a log');
  });

  it('bites an HMAC secret under every version that carried it on', async () => {
    await bootstrapKey(app, { pair: hmac });
    await publishKey(app, { pair: hmac, renewedFrom: 1 });
    await publishKey(app, { pair: hmac, renewedFrom: 2, activatesIn: 60 * day });
    await revoke(2);
    expect((await allKeys(app)).map((row) => row.revocation_reason)).toEqual(['leaked', 'leaked', 'leaked']);
  });

  it('spares another HMAC secret', async () => {
    await bootstrapKey(app, { pair: hmac });
    await publishKey(app, { pair: hmac });
    await revoke(1);
    expect((await key(2)).revoked_at).toBeNull();
  });

  it('as superseded touches its own row alone', async () => {
    const pair = await newPair();
    await bootstrapKey(app, { pair });
    await publishKey(app, { pair, renewedFrom: 1 });
    await revoke(2, 'superseded');
    expect((await key(1)).revoked_at).toBeNull();
  });

  it('as superseded is refused for a key that has signed: its pair would stay usable', async () => {
    await bootstrapKey(app);
    await publishKey(app);
    expect(await refusal(revoke(1, 'superseded', superuser))).toBe(checkViolation);
    await database.moveClock(31 * day);
    expect(await refusal(revoke(1, 'superseded', superuser))).toBe(checkViolation);
    expect(await refusal(revoke(2, 'superseded', superuser))).toBe(checkViolation);
  });

  it('bans its pair for ever', async () => {
    const pair = await newPair();
    await bootstrapKey(app, { pair });
    await revoke(1);
    expect(await refusal(publishKey(superuser, { pair, activation: 'emergency', activatesIn: 0 }))).toBe(
      checkViolation,
    );
  });

  it('bans an HMAC secret from being carried on', async () => {
    await bootstrapKey(app, { pair: hmac });
    await revoke(1);
    const again = publishKey(superuser, { pair: hmac, renewedFrom: 1, activation: 'emergency', activatesIn: 0 });
    expect(await refusal(again)).toBe(checkViolation);
  });

  it('as superseded lets its pair come back', async () => {
    await bootstrapKey(app);
    const pair = await newPair();
    await publishKey(app, { pair });
    await revoke(2, 'superseded');
    expect(await publishKey(app, { pair, renewedFrom: 2 })).toMatchObject({ version: 3, renewed_from: 2 });
  });

  it.each([
    'revoked_at = NULL, revocation_reason = NULL',
    `revocation_reason = 'superseded'`,
    `revoked_at = revoked_at - interval '1 day'`,
    `expires_at = expires_at + interval '1 day'`,
    `retires_at = NULL, expires_at = NULL`,
  ])('is final: %s', async (assignment) => {
    await bootstrapKey(app);
    await revoke(1);
    expect(await refusals(`UPDATE keyturn.signing_keys SET ${assignment}`)).toEqual(
      everybody().map(() => checkViolation),
    );
  });

  it('moves nothing else of its key, whatever else was typed', async () => {
    await bootstrapKey(app);
    const standby = await publishKey(app);
    await app.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'leaked', activation = 'forced',
         activates_at = activates_at + interval '1 day' WHERE version = 2`,
    );
    expect(await key(2)).toMatchObject({ activation: 'scheduled', activates_at: standby.activates_at });
  });
});

describe('a private half', () => {
  beforeEach(async () => {
    await bootstrapKey(app);
    await publishKey(app);
  });

  it.each([
    [1, 'signs'],
    [2, 'waits'],
  ])('of version %i, which %s, cannot be destroyed', async (version) => {
    const attempts = everybody().map(async (client) => await refusal(destroy(version, client)));
    expect(await Promise.all(attempts)).toEqual(everybody().map(() => checkViolation));
  });

  it('goes with the fact once its key can sign no more', async () => {
    await database.moveClock(30 * day + minute);
    await destroy(1);
    expect(await sealedVersions()).toEqual([2]);
  });

  it('goes with the fact once its key is revoked', async () => {
    await revoke(2);
    await destroy(2);
    expect(await sealedVersions()).toEqual([1]);
  });

  it('is destroyed when the database says', async () => {
    await revoke(1);
    const before = await clock();
    await superuser.query(`UPDATE keyturn.signing_keys SET private_key_destroyed_at = '2999-01-01Z' WHERE version = 1`);
    expect((await key(1)).private_key_destroyed_at?.getTime()).toBeLessThan(before + hour);
  });

  it('stays destroyed', async () => {
    await revoke(1);
    await destroy(1);
    expect(await refusals('UPDATE keyturn.signing_keys SET private_key_destroyed_at = NULL WHERE version = 1')).toEqual(
      everybody().map(() => checkViolation),
    );
  });

  it('cannot be put back once destroyed', async () => {
    await revoke(1);
    await destroy(1);
    const back = `INSERT INTO keyturn.signing_key_secrets (version, kek_id, sealed) VALUES (1, 'test', '\\x00')`;
    expect(await refusals(back)).toEqual(everybody().map(() => checkViolation));
  });

  it('cannot be deleted by hand', async () => {
    expect(await refusals('DELETE FROM keyturn.signing_key_secrets')).toEqual(
      everybody().map(() => insufficientPrivilege),
    );
  });

  it('cannot be truncated by hand', async () => {
    expect(await refusals('TRUNCATE keyturn.signing_key_secrets')).toEqual(
      everybody().map(() => insufficientPrivilege),
    );
  });

  it('cannot be given to another key', async () => {
    await revoke(1);
    await destroy(1);
    expect(await refusals('UPDATE keyturn.signing_key_secrets SET version = 1 WHERE version = 2')).toEqual([
      insufficientPrivilege,
      checkViolation,
      checkViolation,
    ]);
  });

  it('may be sealed again', async () => {
    await app.query(`UPDATE keyturn.signing_key_secrets SET kek_id = 'new', sealed = '\\x01' WHERE version = 2`);
    const { rows } = await app.query('SELECT version FROM keyturn.signing_key_secrets WHERE kek_id = $1', ['new']);
    expect(rows).toEqual([{ version: 2 }]);
  });

  it('of an HMAC key stays until its tokens have expired', async () => {
    await database.reset();
    await bootstrapKey(app, { pair: hmac });
    await publishKey(app);
    await database.moveClock(30 * day + minute);
    const tooEarly = await refusal(destroy(1));
    await database.moveClock(verifyTail);
    await destroy(1);
    expect([tooEarly, await sealedVersions()]).toEqual([checkViolation, [2]]);
  });
});

describe('the instant that every rule goes by', () => {
  it.each(['owner', 'superuser'] as const)('cannot be set by the %s', async (role) => {
    const client = await database.connect(role);
    await bootstrapKey(app);
    const before = await key(1);

    await client.query('BEGIN');
    await client.query(
      `UPDATE keyturn.current_change SET transaction_id = pg_current_xact_id(), instant = keyturn.clock() - interval '1 day'`,
    );
    const moved = await refusal(
      client.query(`UPDATE keyturn.signing_keys SET activates_at = activates_at - interval '1 hour' WHERE version = 1`),
    );
    await client.query('ROLLBACK');

    expect(moved).toBe(checkViolation);
    expect(await key(1)).toEqual(before);
  });

  it('stays the same for a transaction, whatever it writes there', async () => {
    await owner.query('BEGIN');
    const begun = only(await owner.query('SELECT keyturn.begin_change() AS at'));
    await database.moveClock(hour);
    await owner.query(`UPDATE keyturn.current_change SET transaction_id = '0', instant = 'infinity'`);
    const after = only(await owner.query('SELECT keyturn.begin_change() AS at'));
    await owner.query('ROLLBACK');

    expect(after).toEqual(begun);
  });

  it.each([
    `INSERT INTO keyturn.current_change (transaction_id, instant) VALUES ('0', 'epoch')`,
    'DELETE FROM keyturn.current_change',
    'TRUNCATE keyturn.current_change',
  ])('keeps its one row: %s', async (sql) => {
    expect([await refusal(owner.query(sql)), await refusal(superuser.query(sql))]).toEqual([
      insufficientPrivilege,
      insufficientPrivilege,
    ]);
  });
});
