import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { News } from '../../../src/database/news.js';
import { generateKey, type GenerateKey } from '../../../src/keys/key-material.js';
import { KeyTick } from '../../../src/keys/upkeep/key-tick.js';
import { SigningKeyStore } from '../../../src/keys/store/signing-key-store.js';
import { only, second } from '../../support/signing-keys.js';
import { startTestApp, type TestApp } from '../../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.js';
import { readToken } from '../../support/tokens.js';

let database: TestDatabase;
let superuser: Client;
let server: TestApp;
beforeEach(async () => {
  database = await createTestDatabase();
  superuser = await database.connect('superuser');
  server = await startTestApp({ database });
  await server.createUser({ username: 'anna' });
  await server.hearNews();
});
afterEach(async () => {
  await server?.close();
  await database?.drop();
});

/** How the server makes keys from now on. */
const makeKeysBy = (generate: GenerateKey): boolean => Reflect.set(server.app.get(KeyTick), 'generate', generate);
/** The standby dies by hand: the server has to make another one. */
const loseTheStandby = () =>
  superuser.query(
    `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'by hand' WHERE activates_at > keyturn.clock()`,
  );
const standbys = async (): Promise<number> =>
  only(
    await superuser.query<{ count: number }>(
      'SELECT count(*)::integer FROM keyturn.signing_keys WHERE revoked_at IS NULL AND activates_at > keyturn.clock()',
    ),
  ).count;

/** A place where work waits until it is let go on. */
class Gate {
  private letIn: () => void = () => undefined;
  private open: () => void = () => undefined;
  private readonly opened = new Promise<void>((resolve) => (this.open = resolve));
  readonly reached = new Promise<void>((resolve) => (this.letIn = resolve));

  async pass(): Promise<void> {
    this.letIn();
    await this.opened;
  }

  release(): void {
    this.open();
  }
}

describe('while a key is being made', () => {
  it('news is heard: a session that ends is over, and a key that is revoked is refused', async () => {
    const [ended, signed] = [await server.login('anna'), await server.login('anna')];
    const status = async ({ access_token: token }: typeof ended) => (await server.ask('/auth/me', { token })).status;
    expect([await status(ended), await status(signed)]).toEqual([200, 200]);
    const gate = new Gate();
    makeKeysBy(async (algorithm, modulusLength) => {
      await gate.pass();
      return generateKey(algorithm, modulusLength);
    });
    await loseTheStandby();
    await server.app.get(News).check();
    await gate.reached;

    const { sid } = readToken(ended.access_token).claims;
    await superuser.query('UPDATE keyturn.sessions SET ended_at = now() WHERE id = $1', [sid]);
    await server.app.get(News).check();
    expect([await status(ended), await status(signed)]).toEqual([401, 200]);

    const { kid } = readToken(signed.access_token).header;
    await superuser.query(
      `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'by hand' WHERE kid = $1`,
      [kid],
    );
    await server.app.get(News).check();
    expect(await status(signed)).toBe(401);

    gate.release();
    await server.hearNews();
    await server.hearNews();
    expect(await standbys()).toBe(1);
  });
});

describe('a standby that another server publishes while this one looks', () => {
  it('is opened before anything is complained of', async () => {
    const other = await startTestApp({ database, settings: { KEK: server.kek } });
    const store = server.app.get(SigningKeyStore);
    const look = store.look.bind(store);
    store.look = async () => {
      store.look = look;
      await other.tick();
      // It takes over at once, and this server wants to make its successor over a key that it has not opened.
      await superuser.query(
        `UPDATE keyturn.signing_keys SET revoked_at = now(), revocation_reason = 'by hand' WHERE version = 1`,
      );
      return look();
    };
    try {
      await loseTheStandby();
      await server.tick();
      expect(server.log.join('\n')).not.toMatch(/could not be kept in order|Check KEK_FILE/);
      expect(await standbys()).toBe(1);
    } finally {
      await other.close();
    }
  });
});

describe('a standby that dies', () => {
  it('is replaced although a run that had looked before was still under way', async () => {
    const gate = new Gate();
    const store = server.app.get(SigningKeyStore);
    const look = store.look.bind(store);
    store.look = async () => {
      const seen = await look();
      await gate.pass();
      return seen;
    };
    const running = server.tick();
    await gate.reached;
    store.look = look;

    await loseTheStandby();
    const hearing = server.hearNews();
    gate.release();
    await Promise.all([running, hearing]);
    await server.hearNews();

    expect(await standbys()).toBe(1);
  });
});

describe('a key that could not be made', () => {
  it('is made some seconds later, not only with the next minute', async () => {
    makeKeysBy(() => Promise.reject(new Error('no entropy')));
    await loseTheStandby();
    await server.hearNews();
    expect(await standbys()).toBe(0);
    makeKeysBy(generateKey);

    await database.moveClock(5 * second);
    await server.hearNews();

    expect(await standbys()).toBe(1);
  });

  it('is not tried with every news', async () => {
    let tries = 0;
    makeKeysBy(() => Promise.reject(new Error(`no entropy: ${++tries}`)));
    await loseTheStandby();
    for (let round = 0; round < 5; round++) await server.hearNews();

    expect(tries).toBe(1);
  });
});
