import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OneTimeCodes } from '../../src/auth/codes/one-time-codes.js';
import { MetricsListener } from '../../src/ops/metrics-listener.js';
import { askAt, PASSWORD, startTestApp, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

const TOKEN = 'the-metrics-of-the-test';
const WRONG = 'seven lanterns over quiet wine';

let database: TestDatabase;
let server: TestApp;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startTestApp({ database, settings: { METRICS_TOKEN: TOKEN } });
});
afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** Values by series, as Prometheus reads them. */
async function series(): Promise<ReadonlyMap<string, number>> {
  const { status, body } = await server.ask('/metrics', { token: TOKEN });
  if (status !== 200) throw new Error(`no metrics: ${status}`);
  return new Map(
    String(body)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => /^(.+) (\S+)$/.exec(line) ?? [])
      .map(([, name = '', value]) => [name, value === '+Inf' ? Infinity : value === 'Nan' ? NaN : Number(value)]),
  );
}

/** How much each series of this name grew while `work` ran; those that did not are left out. */
async function growth(name: string, work: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
  const before = await series();
  await work();
  const after = await series();
  return Object.fromEntries(
    [...after]
      .filter(([key]) => key.startsWith(name))
      .map(([key, value]): [string, number] => [/"(.*)"/.exec(key)?.[1] ?? '', value - (before.get(key) ?? 0)])
      .filter(([, grown]) => grown > 0),
  );
}

const login = (username: string, password: string) => server.ask('/auth/login', { json: { username, password } });

describe('GET /metrics', () => {
  it('answers whoever has METRICS_TOKEN in the text format of Prometheus', async () => {
    const { status, headers, body } = await server.ask('/metrics', { token: TOKEN });
    expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
      200,
      expect.stringMatching(/^text\/plain; version=0\.0\.4/),
      'no-store',
    ]);
    expect(body).toMatch(/^# HELP keyturn_logins_total /m);
    expect(body).toMatch(/^# TYPE keyturn_history_head gauge$/m);
  });

  it.each([
    ['nothing', {}, 'missing_token'],
    ['another token', { token: `${TOKEN}-not` }, 'invalid_token'],
    ['a password of its own', { headers: { authorization: `Basic ${TOKEN}` } }, 'missing_token'],
  ])('refuses whoever brings %s', async (_, options, code) => {
    const { status, headers, body } = await server.ask('/metrics', options);
    expect([status, body, headers.get('www-authenticate')]).toMatchObject([401, { code }, /^Bearer/]);
  });

  it('refuses an access token, even of an administrator', async () => {
    await server.createUser({ username: 'root', roles: ['admin'] });
    const { access_token: token } = await server.login('root');
    expect((await server.ask('/metrics', { token })).status).toBe(401);
  });
});

describe('what is counted', () => {
  it('is each login, by how it ended', async () => {
    await server.createUser({ username: 'anna@example.com' });
    const carl = await server.createUser({ username: 'carl' });
    const superuser = await database.connect('superuser');
    await superuser.query('UPDATE keyturn.users SET disabled_at = keyturn.clock() WHERE id = $1', [carl.id]);
    const grown = await growth('keyturn_logins_total', async () => {
      await login('anna@example.com', PASSWORD);
      await login('anna@example.com', WRONG);
      await login('Anna@example.com', WRONG);
      await login('nobody', PASSWORD);
      await login('carl', PASSWORD);
    });
    expect(grown).toEqual({ success: 1, wrong_password: 2, unknown_user: 1, disabled: 1 });
  });

  it('is each refresh, by how it ended', async () => {
    const { refresh_token: first } = await server.login('anna@example.com');
    const grown = await growth('keyturn_refreshes_total', async () => {
      await server.refresh(first);
      await server.refresh(first);
      await database.moveClock(11_000);
      await server.refresh(first);
      await server.refresh('ktr_nothing');
    });
    expect(grown).toEqual({ success: 1, retried: 1, reused: 1, refused: 1 });
  });

  it('is each token that the guard refused, by why', async () => {
    const { access_token: token } = await server.login('anna@example.com');
    const grown = await growth('keyturn_token_refusals_total', async () => {
      await server.ask('/auth/me', { token: `${token.slice(0, -4)}AAAA` });
      await server.ask('/auth/me', { token: 'none of ours' });
      await server.ask('/auth/logout', { method: 'POST', token });
      await server.ask('/auth/me', { token });
    });
    expect(grown).toEqual({ signature: 1, segments: 1, session: 1 });
  });

  it('is each refusal of any kind, by its code', async () => {
    const { access_token: token } = await server.login('anna@example.com');
    const grown = await growth('keyturn_problems_total', async () => {
      await server.ask('/users', { token });
      await server.ask('/nowhere');
    });
    expect(grown).toEqual({ insufficient_scope: 1, not_found: 1 });
    expect(server.log.join('\n')).toContain('refused for want of a role');
  });

  it('is each act of an administrator, and it is logged', async () => {
    const { access_token: token } = await server.login('root');
    const grown = await growth('keyturn_administration_total', async () => {
      await server.ask('/users', { token, json: { username: 'dora', roles: [] } });
      await server.ask('/keys/rotate', { token, json: { force: true, reason: 'counted' } });
    });
    expect(grown).toEqual({ 'user invited': 1, 'key rotated': 1 });
    expect(server.log.filter((line) => line.includes('key rotated'))).toHaveLength(1);
  });

  it('is each guess at the current password, and it is logged without it', async () => {
    await server.createUser({ username: 'guessed-at' });
    const { access_token: token } = await server.login('guessed-at');
    const change = (currentPassword: string) =>
      server.ask('/auth/password', { token, json: { currentPassword, newPassword: 'eleven quiet boats at anchor' } });
    const grown = await growth('keyturn_password_changes_total', async () => {
      expect((await change('not the password at all')).status).toBe(401);
      expect((await change(PASSWORD)).status).toBe(204);
    });
    expect(grown).toEqual({ success: 1, wrong_password: 1 });
    const lines = server.log.filter((line) => line.includes('password change refused'));
    expect(lines).toEqual([expect.stringContaining('wrong_password')]);
    expect(lines.join()).not.toContain('not the password at all');
  });
});

describe('what is measured', () => {
  it('is the keys: who signs, for how long, and that a standby waits', async () => {
    await server.hearNews();
    await server.tick();
    const day = 86_400;
    const before = await series();
    await database.moveClock(day * 1_000);
    await server.hearNews();
    const after = await series();
    const moved = (name: string): number => Math.round((after.get(name) ?? NaN) - (before.get(name) ?? NaN));
    // Rounded: the test itself takes a moment.
    expect([moved('keyturn_signing_key_age_seconds') / day, moved('keyturn_takeover_seconds') / day]).toEqual([
      expect.closeTo(1, 2),
      expect.closeTo(-1, 2),
    ]);
    expect(after.get('keyturn_signing_seconds_left')).toBe(Infinity);
    expect([after.get('keyturn_standby_published'), after.get('keyturn_private_halves_unreadable')]).toEqual([1, 0]);
  });

  it('is the history: its head, and whether that is signed', async () => {
    await server.hearNews();
    const auditor = await database.connect('auditor');
    const { rows } = await auditor.query<{ seq: string }>('SELECT max(seq) AS seq FROM audit.chain');
    const now = await series();
    expect([
      now.get('keyturn_history_head'),
      now.get('keyturn_history_unsigned_rows'),
      now.get('keyturn_history_trouble'),
    ]).toEqual([Number(rows[0]?.seq), 0, 0]);
  });

  it('is the poll and the process', async () => {
    const now = await series();
    expect(now.get('keyturn_database_silence_seconds')).toBeLessThan(60);
    expect(now.get('process_resident_memory_bytes')).toBeGreaterThan(1e6);
  });

  it('names nobody: no user, no kid, no address', async () => {
    const { body } = await server.ask('/metrics', { token: TOKEN });
    const kids = (await server.openKeys()).map((key) => key.kid);
    for (const secret of ['anna', 'root', 'carl', 'dora', '127.0.0.1', TOKEN, ...kids])
      expect(body).not.toContain(secret);
  });
});

// Last: what is logged goes to the server that was started last.
describe('where GET /metrics is', () => {
  it('is not there without METRICS_TOKEN', async () => {
    const closed = await startTestApp({ database, settings: { KEK: server.kek } });
    const { status } = await closed.ask('/metrics');
    await closed.close();
    expect(status).toBe(404);
  });

  it('has an address of its own with METRICS_BIND, and is not on the public one then', async () => {
    const apart = await startTestApp({
      database,
      settings: { KEK: server.kek, METRICS_BIND: '127.0.0.1:0', METRICS_TOKEN: TOKEN },
    });
    const place = `http://127.0.0.1:${apart.app.get(MetricsListener).port}`;
    const statuses = [
      (await apart.ask('/metrics', { token: TOKEN })).status,
      (await askAt(place, '/metrics', {})).status,
      (await askAt(place, '/keys', { token: TOKEN })).status,
      (await askAt(place, '/metrics', { token: TOKEN })).status,
    ];
    await apart.close();
    expect(statuses).toEqual([404, 401, 404, 200]);
    await expect(askAt(place, '/metrics', {})).rejects.toThrow('fetch failed');
  });

  it('ends a start in words where METRICS_BIND is taken', async () => {
    const { host } = new URL(server.url);
    await expect(startTestApp({ database, settings: { KEK: server.kek, METRICS_BIND: host } })).rejects.toThrow(
      `METRICS_BIND ${host} cannot be listened on`,
    );
  });

  it('counts each one-time code, redeemed or refused', async () => {
    const fresh = await createTestDatabase();
    const own = await startTestApp({ database: fresh, settings: { METRICS_TOKEN: TOKEN } });
    const [before, code] = [server, (await own.app.get(OneTimeCodes).issueSetupCode()) ?? ''];
    server = own;
    try {
      const form = { code, username: 'first', password: PASSWORD };
      const grown = await growth('keyturn_code_redemptions_total', async () => {
        await own.ask('/auth/redeem', { json: form });
        await own.ask('/auth/redeem', { json: form });
      });
      expect(grown).toEqual({ success: 1, refused: 1 });
    } finally {
      server = before;
      await own.close();
      await fresh.drop();
    }
  });
});
