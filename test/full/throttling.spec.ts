import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { Client } from 'pg';
import { DataSource } from 'typeorm';
import { issueCodeFor } from '../../src/auth/codes/user-codes.js';
import { foldedName } from '../../src/auth/throttle/folded-name.js';
import { Throttle } from '../../src/auth/throttle/throttle.js';
import { KeyturnError } from '../../src/common/errors.js';
import { inChange } from '../../src/database/change.js';
import { PasswordHasher } from '../../src/users/password/password-hasher.js';
import { only, second } from '../support/signing-keys.js';
import { members, PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

const ATTEMPTS = 3;
const BY_NAME = 8;
const BY_ADDRESS = 7;
const INTERVAL = 60 * second;
const wrong = 'seven lanterns over quiet wine';

const settings = {
  TRUSTED_PROXIES: '127.0.0.1', // what it says of the address is believed: so a test comes from anywhere
  LOGIN_ATTEMPTS: String(ATTEMPTS),
  LOGIN_ATTEMPTS_BY_NAME: String(BY_NAME),
  LOGIN_ATTEMPTS_BY_ADDRESS: String(BY_ADDRESS),
  LOGIN_SLOWDOWN: '10ms',
} as const;

let database: TestDatabase;
let superuser: Client;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database, settings });
  for (const username of ['anna', 'bert', 'carl']) await server.createUser({ username });
  await superuser.query(`UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE username = 'carl'`);
});
afterEach(async () => {
  jest.restoreAllMocks();
  await database.setClockOffset(0);
  await server.hearNews();
  await superuser.query('DELETE FROM keyturn.attempt_buckets; DELETE FROM keyturn.login_events');
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const here = '203.0.113.7';
const elsewhere = '198.51.100.9';

interface From {
  readonly address?: string;
  readonly cookie?: string | undefined;
  readonly at?: TestApp;
}

const login = (
  username: string,
  password: string,
  { address = here, cookie, at = server }: From = {},
): Promise<Answer> =>
  at.ask('/auth/login', {
    json: { username, password },
    headers: { 'x-forwarded-for': address, ...(cookie !== undefined && { cookie }) },
  });

/** Wrong passwords until the next is refused. */
async function exhaust(username: string, from: From = {}): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) expect((await login(username, wrong, from)).status).toBe(401);
  expect((await login(username, wrong, from)).status).toBe(429);
}

/** The cookie of a device on which this user has just logged in. */
async function knownDevice(username: string, from: From = {}): Promise<string> {
  const { status, headers } = await login(username, PASSWORD, from);
  if (status !== 200) throw new Error(`expected a login, got ${status}`);
  return headers.get('set-cookie')?.split(';')[0] ?? '';
}

const retryAfter = ({ headers }: Answer): number => Number(headers.get('retry-after'));

describe('wrong passwords for a name from one address', () => {
  it.each(['bert', 'carl', 'nobody'])('are refused when they are too many, of %s like of anybody', async (username) => {
    await exhaust(username);
    const answer = await login(username, wrong);

    expect(answer).toMatchObject({
      status: 429,
      body: {
        type: 'about:blank',
        title: 'Too Many Requests',
        status: 429,
        code: 'too_many_attempts',
        detail: 'Too many attempts. Wait a moment, then try again.',
      },
    });
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(retryAfter(answer)).toBeGreaterThan(0);
    expect(retryAfter(answer)).toBeLessThanOrEqual(INTERVAL / second);
  });

  it('then hash nothing and look no user up, and are recorded', async () => {
    await exhaust('bert');
    await superuser.query('DELETE FROM keyturn.login_events');
    const hasher = server.app.get(PasswordHasher);
    const hashes = [jest.spyOn(hasher, 'verify'), jest.spyOn(hasher, 'verifyDummy'), jest.spyOn(hasher, 'hash')];
    server.statements.length = 0;
    await login('bert', PASSWORD);

    expect(server.statements.filter((statement) => !statement.includes('news('))).toEqual([
      expect.stringContaining('keyturn.take_attempt('),
      expect.stringContaining('UPDATE keyturn.attempt_buckets'),
      expect.stringContaining('INSERT INTO keyturn.login_events'),
    ]);
    for (const hash of hashes) expect(hash).not.toHaveBeenCalled();
    const { rows } = await superuser.query(
      'SELECT outcome, username, username_tried, host(address) FROM audit.login_history',
    );
    expect(rows).toEqual([{ outcome: 'throttled', username: 'bert', username_tried: 'bert', host: here }]);
  });

  it('are refused with the right one too, and let in when the time has passed that the answer said', async () => {
    await exhaust('bert');
    const refused = await login('bert', PASSWORD);
    expect(refused.status).toBe(429);

    await database.moveClock((retryAfter(refused) - 2) * second);
    expect((await login('bert', PASSWORD)).status).toBe(429);
    await database.moveClock(2 * second);
    expect((await login('bert', PASSWORD)).status).toBe(200);
  });

  it('allow one more each interval, and no more than at first after any time', async () => {
    await exhaust('bert');
    await database.moveClock(INTERVAL);
    expect((await login('bert', wrong)).status).toBe(401);
    expect((await login('bert', wrong)).status).toBe(429);
    await database.moveClock(1_000 * INTERVAL);
    await exhaust('bert');
  });

  it('are not counted by spelling', async () => {
    const spellings = ['BERT', 'bert', 'BeRT'];
    for (const spelling of spellings) expect((await login(spelling, wrong)).status).toBe(401);
    expect((await login('bert', wrong)).status).toBe(429);
  });

  it('are counted before they are compared: none more gets in when all come at once', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => login('bert', wrong)));
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(ATTEMPTS);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(12 - ATTEMPTS);
  });

  it('are given back by a login', async () => {
    for (let round = 0; round < 4 * ATTEMPTS; round++) expect((await login('bert', PASSWORD)).status).toBe(200);
    await exhaust('bert');
  });

  it('are counted by the first 64 bits of an IPv6 address', async () => {
    await login('bert', wrong, { address: '2001:db8:1:2::1' });
    await login('bert', wrong, { address: '2001:db8:1:2:ffff::2' });
    await login('bert', wrong, { address: '2001:db8:1:2:aaaa:bbbb:cccc:dddd' });
    expect((await login('bert', PASSWORD, { address: '2001:db8:1:2::3' })).status).toBe(429);
    expect((await login('bert', PASSWORD, { address: '2001:db8:1:3::1' })).status).toBe(200);
  });

  it('make nobody wait for longer than an interval, though the clock was set back', async () => {
    await exhaust('bert');
    await database.setClockOffset(-1_000 * INTERVAL);
    expect(retryAfter(await login('bert', wrong))).toBeLessThanOrEqual(INTERVAL / second);
  });

  it('are nobody else’s: neither another name’s from there, nor the same name’s from elsewhere', async () => {
    await exhaust('bert');
    expect((await login('anna', PASSWORD)).status).toBe(200);
    expect((await login('bert', PASSWORD, { address: elsewhere })).status).toBe(200);
  });

  it('are logged without the name', async () => {
    await exhaust('bert@very.private.example');
    const lines = server.log.filter((line) => line.includes('login refused'));
    expect(lines.length).toBeGreaterThan(ATTEMPTS);
    expect(lines.join('\n')).toContain('"outcome":"throttled"');
    expect(server.log.filter((line) => line.includes('very.private'))).toEqual([]);
  });
});

describe('a device on which somebody has logged in', () => {
  it('is known by a cookie for this host alone, out of reach of scripts', async () => {
    const { headers } = await login('anna', PASSWORD);
    expect(headers.get('set-cookie')).toMatch(
      /^keyturn-dev-\d+-device=[\w-]{64}; Max-Age=34560000; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(headers.get('set-cookie')).not.toContain('anna');
  });

  it('has attempts of its own, which no stranger at the same address can use up', async () => {
    const cookie = await knownDevice('anna');
    await exhaust('anna');
    expect((await login('anna', PASSWORD)).status).toBe(429);
    expect((await login('anna', PASSWORD, { cookie })).status).toBe(200);
  });

  it('has no more of them than anybody else, wherever it is', async () => {
    const cookie = await knownDevice('anna');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++)
      expect((await login('anna', wrong, { cookie, address: `198.51.100.${attempt}` })).status).toBe(401);
    // Then it is a stranger, and refused only where a stranger is.
    await exhaust('anna');
    expect((await login('anna', PASSWORD, { cookie })).status).toBe(429);
    expect((await login('anna', PASSWORD, { cookie, address: elsewhere })).status).toBe(200);
    // Another one is another.
    expect((await login('anna', PASSWORD, { cookie: await knownDevice('anna', { address: elsewhere }) })).status).toBe(
      200,
    );
  });

  it('multiplies nobody’s attempts: all those of a name together have as many as all strangers', async () => {
    const cookies = [];
    for (let device = 0; device < BY_NAME; device++) cookies.push(await knownDevice('anna'));
    const [own, ...others] = cookies;
    let guesses = 0;
    for (const cookie of others)
      for (let attempt = 0; attempt < 2 * ATTEMPTS; attempt++)
        if ((await login('anna', wrong, { cookie })).status === 401) guesses++;
    // Those of all devices, and then those of a stranger at that address.
    expect(guesses).toBe(BY_NAME + ATTEMPTS);
    expect((await login('anna', PASSWORD, { cookie: own })).status).toBe(429);
    expect((await login('anna', PASSWORD, { cookie: own, address: elsewhere })).status).toBe(200);
    expect((await login('anna', PASSWORD, { address: elsewhere })).status).toBe(200);
  });

  it('keeps its cookie at the next login, and gets another for another name', async () => {
    const cookie = await knownDevice('anna');
    expect(await knownDevice('ANNA', { cookie: `a=b; ${cookie}; c=d` })).toBe(cookie);
    expect(await knownDevice('bert', { cookie })).not.toBe(cookie);
  });

  it('is a stranger under another name, and with a cookie that we did not make', async () => {
    const cookie = await knownDevice('anna');
    const [name = '', value = ''] = cookie.split('=');
    await exhaust('bert');
    expect((await login('bert', PASSWORD, { cookie })).status).toBe(429);
    await exhaust('anna');
    const forged = [
      '',
      'x',
      value.slice(1),
      `${value}AAAA`,
      'A'.repeat(64),
      value.replace(/.$/, 'é'),
      'A'.repeat(6_000),
    ];
    for (const other of forged) {
      const headers = { 'x-forwarded-for': here, cookie: Buffer.from(`${name}=${other}`).toString('latin1') };
      const { status } = await server.ask('/auth/login', { json: { username: 'anna', password: PASSWORD }, headers });
      expect([other, status]).toEqual([other, 429]);
    }
  });
});

describe('wrong passwords for many names from one address', () => {
  const spray = async (address?: string): Promise<Answer[]> => {
    const answers = [];
    for (let name = 0; name <= BY_ADDRESS; name++)
      answers.push(await login(`nobody-${name}`, wrong, address === undefined ? {} : { address }));
    return answers;
  };

  it('are refused when they are too many, and let nobody in there but on a known device', async () => {
    const cookie = await knownDevice('anna');
    const answers = await spray();
    expect(answers.map(({ status }) => status)).toEqual([...Array<number>(BY_ADDRESS).fill(401), 429]);
    const [refused] = answers.slice(BY_ADDRESS);
    if (!refused) throw new Error('expected an answer');
    expect(refused.body).toMatchObject({ code: 'too_many_attempts' });
    expect(retryAfter(refused)).toBeLessThanOrEqual(INTERVAL / second);

    expect((await login('anna', PASSWORD)).status).toBe(429);
    expect((await login('anna', PASSWORD, { cookie })).status).toBe(200);
    expect((await login('anna', PASSWORD, { address: elsewhere })).status).toBe(200);
    await database.moveClock(INTERVAL);
    expect((await login('anna', PASSWORD)).status).toBe(200);
  });

  it('are counted by the first 64 bits of an IPv6 address', async () => {
    await spray('2001:db8:1:2::1');
    expect((await login('anna', PASSWORD, { address: '2001:db8:1:2:ffff::2' })).status).toBe(429);
    expect((await login('anna', PASSWORD, { address: '2001:db8:1:3::1' })).status).toBe(200);
  });

  it('are not those of a known device, nor those that a full name refuses already', async () => {
    const cookie = await knownDevice('anna');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) await login('anna', wrong, { cookie });
    await exhaust('bert');
    for (let attempt = 0; attempt < BY_ADDRESS; attempt++) await login('bert', wrong);
    for (let attempt = ATTEMPTS; attempt < BY_ADDRESS; attempt++)
      expect((await login(`nobody-${attempt}`, wrong)).status).toBe(401);
    expect((await login('nobody', wrong)).status).toBe(429);
  });

  it('are given back when the password is right, also when all come at once', async () => {
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(Array.from({ length: ATTEMPTS }, () => login('bert', PASSWORD)));
      expect(answers.map(({ status }) => status)).toEqual(Array(ATTEMPTS).fill(200));
    }
    expect(server.log.filter((line) => line.includes('could not be given back'))).toEqual([]);
  });
});

describe('wrong passwords for a name from everywhere', () => {
  it('only slow strangers down: the person is let in from an address of their own, and on a known device at once', async () => {
    const cookie = await knownDevice('anna');
    const slowed = (): number => server.log.filter((line) => line.includes('a login waits')).length;
    const before = slowed();
    for (let stranger = 0; stranger < 3 * BY_NAME; stranger++)
      expect((await login('anna', wrong, { address: `192.0.2.${stranger}` })).status).toBe(401);
    expect(slowed() - before).toBe(2 * BY_NAME);

    expect((await login('anna', PASSWORD, { cookie })).status).toBe(200);
    expect(slowed() - before).toBe(2 * BY_NAME);
    expect((await login('anna', PASSWORD, { address: elsewhere })).status).toBe(200);
    expect(slowed() - before).toBe(2 * BY_NAME + 1);
  });

  it('never lock the person out, whatever strangers do', async () => {
    const throttle = server.app.get(Throttle);
    const cookie = (await knownDevice('anna')).split('=')[1] ?? '';
    const guess = async (username: string, address: string, knownDevice?: string): Promise<void> => {
      const refused = throttle.login({ username, address, knownDevice }, () =>
        Promise.reject(new KeyturnError('invalid_credentials', 'wrong')),
      );
      await expect(refused).rejects.toBeInstanceOf(KeyturnError);
    };
    const spelling = fc.constantFrom('anna', 'ANNA', 'Anna', 'bert');
    const address = fc.oneof(
      fc.ipV4().filter((text) => text !== elsewhere),
      fc.ipV6().filter((text) => !text.startsWith('2001:db8:7:7:')),
      fc.constant('no address'),
    );
    const forged = fc.option(fc.base64String({ minLength: 60, maxLength: 68 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(spelling, address, forged, fc.integer({ min: 1, max: 6 })), { maxLength: 12 }),
        async (strangers) => {
          for (const [name, from, token, times] of strangers)
            for (let time = 0; time < times; time++) await guess(name, from, token);
          const letIn = async (): Promise<string> => 'in';
          for (const own of [elsewhere, '2001:db8:7:7::1'])
            expect(await throttle.login({ username: 'anna', address: own }, letIn)).toBe('in');
          for (const [, from] of strangers)
            expect(await throttle.login({ username: 'anna', address: from, knownDevice: cookie }, letIn)).toBe('in');
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('attempts are counted', () => {
  it('by two servers together, and on after a restart', async () => {
    const beside = { ...settings, KEK: server.kek, ISSUER: server.url };
    const other = await startTestApp({ database, settings: beside });
    try {
      expect((await login('bert', wrong)).status).toBe(401);
      expect((await login('bert', wrong, { at: other })).status).toBe(401);
      expect((await login('bert', wrong)).status).toBe(401);
      expect((await login('bert', PASSWORD, { at: other })).status).toBe(429);
      expect((await login('bert', PASSWORD)).status).toBe(429);
    } finally {
      await other.close();
    }
    const again = await startTestApp({ database, settings: beside });
    try {
      expect((await login('bert', PASSWORD, { at: again })).status).toBe(429);
      const cookie = await knownDevice('anna');
      await exhaust('anna', { at: again });
      expect((await login('anna', PASSWORD, { cookie, at: again })).status).toBe(200);
    } finally {
      await again.close();
    }
  });

  it('or nobody is let in: without their table a login is a 503, as without any other', async () => {
    await superuser.query('BEGIN; LOCK TABLE keyturn.attempt_buckets IN ACCESS EXCLUSIVE MODE');
    const answer = await login('anna', PASSWORD);
    await superuser.query('ROLLBACK');
    expect(answer).toMatchObject({ status: 503, body: { code: 'database_unavailable' } });
  });

  it('under hashes, from which no name and no address can be read', async () => {
    await login('nobody@private.example', wrong);
    const { rows } = await superuser.query<{ text: string }>('SELECT b::text AS text FROM keyturn.attempt_buckets b');
    expect(rows).toHaveLength(3);
    for (const plain of ['nobody@private.example', here])
      for (const spelt of [plain, Buffer.from(plain).toString('hex')])
        expect(rows.map(({ text }) => text).join()).not.toContain(spelt);
  });

  it('for as long as they count, and then forgotten', async () => {
    const buckets = async (): Promise<number | null> =>
      (await superuser.query('SELECT FROM keyturn.attempt_buckets')).rowCount;
    await login('bert', wrong);
    await server.app.get(Throttle).prune();
    expect(await buckets()).toBe(3);
    await database.moveClock(INTERVAL);
    await server.app.get(Throttle).prune();
    expect(await buckets()).toBe(0);
  });
});

describe('wrong one-time codes', () => {
  const redeem = (code: string, password: string, address = here): Promise<Answer> =>
    server.ask('/auth/redeem', { json: { code, password }, headers: { 'x-forwarded-for': address } });

  it('from one address are refused when they are too many; a password that is refused is none', async () => {
    const { id } = await server.createUser({ username: 'dora' });
    const { code } = await inChange(server.app.get(DataSource), {}, (manager, now) =>
      issueCodeFor(manager, id, 'reset', now),
    );
    for (let attempt = 0; attempt < 2 * ATTEMPTS; attempt++)
      expect(members((await redeem(code, 'short')).body)['code']).toBe('password_rejected');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++)
      expect(members((await redeem(`no code ${attempt}`, PASSWORD)).body)['code']).toBe('invalid_code');

    const answer = await redeem(code, PASSWORD);
    expect(answer).toMatchObject({ status: 429, body: { code: 'too_many_attempts' } });
    expect((await redeem(code, PASSWORD, elsewhere)).status).toBe(204);
    await database.moveClock(retryAfter(answer) * second);
    expect((await redeem('no code', PASSWORD)).status).toBe(400);
  });
});

describe('wrong current passwords', () => {
  it('in one session are refused when they are too many, and in no other', async () => {
    const [one, other] = [await server.login('bert'), await server.login('bert')];
    const change = (token: string, currentPassword: string): Promise<Answer> =>
      server.ask('/auth/password', {
        token,
        json: { currentPassword, newPassword: 'eleven kettles under a green roof' },
      });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++)
      expect((await change(one.access_token, wrong)).status).toBe(401);

    expect(await change(one.access_token, PASSWORD)).toMatchObject({
      status: 429,
      body: { code: 'too_many_attempts' },
    });
    expect((await change(other.access_token, PASSWORD)).status).toBe(204);
  });
});

describe('a name', () => {
  it('is folded at least as far as the database folds it, letter by letter, in every collation that it may have', async () => {
    const { rows: collations } = await superuser.query<{ name: string }>(
      `SELECT quote_ident(collname) AS name FROM pg_collation
       WHERE collname IN ('default', 'C', 'POSIX', 'C.utf8', 'en_US.utf8', 'tr_TR.utf8', 'pg_c_utf8', 'pg_unicode_fast', 'und-x-icu', 'tr-x-icu', 'lt-x-icu')
         AND collencoding IN (-1, 6)`,
    );
    expect(collations.length).toBeGreaterThan(2);
    for (const { name } of collations) {
      const { pairs } = only(
        await superuser.query<{ pairs: [string, string][] }>(
          `SELECT coalesce(json_agg(json_build_array(letter, folded)), '[]') AS pairs FROM (
             SELECT letter, lower(letter COLLATE ${name}) AS folded
             FROM (SELECT chr(point) AS letter FROM generate_series(1, 1114111) point WHERE point NOT BETWEEN 55296 AND 57343) all_letters
           ) folds WHERE letter <> folded`,
        ),
      );
      const apart = pairs.filter(([letter, folded]) => foldedName(letter) !== foldedName(folded));
      expect([name, apart]).toEqual([name, []]);
    }
    expect(foldedName('ΑΣ')).toBe(foldedName('ας'));
  });
});
