import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { ClientBase } from 'pg';
import { migrations } from '../../migrations/index.js';
import { allKeys } from '../support/signing-keys.js';
import { createEmptyDatabase, type TestDatabase } from '../support/test-database.js';
import { inWords, jwks, logIn, me, revoke, rotate } from './support/client.js';
import { endAll, runCli, settingsFor, startKeyturn, type Keyturn, type Settings } from './support/keyturn.js';
import { distribution, kindOf, say } from './support/load.js';
import { ringFaults, signerAndStandby } from './support/ring-facts.js';
import { eventually } from './support/wait.js';

jest.setTimeout(180_000);

describe('three servers', () => {
  let database: TestDatabase;
  let db: ClientBase;
  let settings: Settings;
  let servers: readonly Keyturn[];
  let token: string;
  beforeAll(async () => {
    database = await createEmptyDatabase();
    settings = settingsFor(database, { KEY_POLL_INTERVAL: '50ms' });
    servers = await Promise.all([1, 2, 3].map(async () => await startKeyturn(settings)));
    db = await database.connect('superuser');
    ({ access_token: token } = await logIn(urlOf(0)));
  });
  afterAll(async () => {
    await endAll();
    await database.drop();
  });

  const urlOf = (index: number): string => servers[index % servers.length]?.url ?? '';

  /** A standby that some server has opened, and which version signs: what a rotation needs. */
  const settled = async (): Promise<number> =>
    await eventually('a standby that a server has opened', async () => {
      const { signer, standby } = await signerAndStandby(db);
      const { rowCount } = await db.query('SELECT FROM keyturn.replicas WHERE $1 = ANY (opens)', [standby]);
      return signer !== null && standby !== null && (rowCount ?? 0) > 0 && signer;
    });

  it('that start at once on an empty database migrate it once, and make one first key, one standby and one administrator', async () => {
    const { rows } = await db.query<{ name: string }>('SELECT name FROM keyturn.migrations ORDER BY id');
    expect(rows.map((row) => row.name)).toEqual(migrations.map((migration) => migration.name));
    const keys = await allKeys(db);
    expect(keys.map(({ version, activation }) => [version, activation])).toEqual([
      [1, 'bootstrap'],
      [2, 'scheduled'],
    ]);
    const { rows: users } = await db.query('SELECT username FROM keyturn.users');
    expect(users).toEqual([{ username: 'ada' }]);
    expect(await ringFaults(db)).toEqual([]);
    const published = await Promise.all(servers.map(async ({ url }) => (await jwks(url)).body));
    expect(new Set(published.map((body) => JSON.stringify(body))).size).toBe(1);
    for (const { url } of servers) expect((await me(url, token)).status).toBe(200);
  });

  it('make one new version a round when all are asked at once to rotate, a hundred rounds long', async () => {
    const times: number[] = [];
    for (let round = 0; round < 100; round += 1) {
      const from = await settled();
      const begun = performance.now();
      const byCommand = round % 10 === 7 ? [byCli(from), byCli(from)] : [];
      const answers = await Promise.all(
        [0, 1, 2, 0, 1, 2].map(async (index) => await rotate(urlOf(index), token, { fromVersion: from, force: true })),
      );
      times.push(performance.now() - begun);
      const commands = await Promise.all(byCommand);
      const won = answers.filter(({ status }) => status === 200);
      const lost = answers.filter(({ status }) => status !== 200);
      expect(won.length + commands.filter((code) => code === 0).length).toBe(1);
      expect(new Set(lost.map(kindOf))).toEqual(new Set(lost.length > 0 ? ['409 version_conflict'] : []));
      expect((await signerAndStandby(db)).signer).toBe(from + 1);
    }
    await settled();
    const keys = await allKeys(db);
    expect(keys.map((key) => key.version)).toEqual(keys.map((_, index) => index + 1));
    expect(keys).toHaveLength(102);
    expect(await ringFaults(db)).toEqual([]);
    say(`100 rounds of 6 rotations and now and then 2 commands: ${distribution(times)}`);
  });

  it('let nobody be logged out by a hundred rotations', async () => {
    for (const { url } of servers) expect(inWords(await me(url, token))).toMatch(/^200 /);
  });

  it('stay with one signer when a rotation races the revocation of the key it retires', async () => {
    const outcomes: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      const from = await settled();
      const { kid } = (await allKeys(db)).find(({ version }) => version === from) ?? { kid: '' };
      const { access_token: fresh } = await logIn(urlOf(round));
      const [rotated, revoked] = await Promise.all([
        rotate(urlOf(round), fresh, { fromVersion: from, force: true }),
        revoke(urlOf(round + 1), fresh, kid),
      ]);
      outcomes.push(`${kindOf(rotated)}, ${kindOf(revoked)}`);
      expect(inWords(revoked)).toMatch(/^200 /);
      expect(['200', '409 version_conflict']).toContain(kindOf(rotated));
      expect((await signerAndStandby(db)).signer).toBe(from + 1);
      for (const { url } of servers) {
        await eventually('the revoked key refused', async () => (await me(url, fresh)).status === 401, {
          withinMs: 1_000,
        });
      }
    }
    await settled();
    expect(await ringFaults(db)).toEqual([]);
    say(`rotation against revocation: ${[...new Set(outcomes)].join('; ')}`);
  });

  /** @returns the exit code */
  async function byCli(from: number): Promise<number | null> {
    const { code, output } = await runCli(['keys', 'rotate', '--from', String(from), '--force'], settings);
    if (code !== 0) expect(output).toContain(`Version ${from} does not sign any more`);
    return code;
  }
});
