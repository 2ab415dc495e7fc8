import { generateKeyPairSync } from 'node:crypto';
import { JwtService } from '@nestjs/jwt';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { DataSource } from 'typeorm';
import { Tally } from '../../common/tally.js';
import { loadConfig } from '../../config/load-config.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { asymmetricMaterial } from '../key-material.js';
import { SigningKeyStore, type KeySet } from '../store/signing-key-store.js';
import type { SigningKey } from '../signing-key.js';
import { KeyEncryptionKeys } from '../vault/key-encryption-keys.js';
import { KeySealing } from '../vault/key-sealing.js';
import { LocalKeyVault } from '../vault/local-key-vault.js';
import { KeyRefresh } from './key-refresh.js';
import { KeyRing } from './key-ring.js';

const pair = await asymmetricMaterial('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const config = loadConfig({ NODE_ENV: 'test' });

/** Signs from the epoch on. */
const key: SigningKey = {
  ...{ version: 1, kid: 'new', algorithm: 'ES256', signs: true, origin: 'generated', activation: 'bootstrap' },
  ...{ publicJwk: pair.publicJwk, thumbprint: pair.thumbprint, publishedAt: 0, activatesAt: 0 },
  ...{ renewedFrom: null, retiresAt: null, expiresAt: null, lead: 0, maxTokenTtl: 1, verifyTail: 1 },
  ...{ revokedAt: null, revocationReason: null, privateKeyDestroyedAt: null },
};

/** A query as it was when it began: it answers with what was committed by then, once it is let. */
interface Query {
  readonly answer: () => void;
  readonly fail: () => void;
}

/** A ring over a database whose every answer the test gives. */
function begin() {
  const queries: Query[] = [];
  let committed: KeySet = { generation: 1, keys: [] };
  class Store extends SigningKeyStore {
    override load(): Promise<KeySet> {
      return new Promise((resolve, reject) => {
        const seen = committed;
        queries.push({ answer: () => resolve(seen), fail: () => reject(new Error('no database')) });
      });
    }
  }
  const clock = new DatabaseClock();
  clock.observe(Date.UTC(2026, 10, 1), performance.now(), performance.now());
  clock.followed(performance.now());
  const ring = new KeyRing(clock);
  const vault = new LocalKeyVault(
    new KeySealing(KeyEncryptionKeys.parse(KeyEncryptionKeys.newLine())),
    new JwtService({}),
  );
  const refresh = new KeyRefresh(
    config,
    new Store(new DataSource({ type: 'postgres' })),
    ring,
    vault,
    clock,
    new Tally(),
  );
  return {
    ring,
    refresh,
    queries,
    commit: (...keys: SigningKey[]) =>
      (committed = {
        generation: committed.generation + 1,
        keys: keys.map((one) => ({ key: one, sealed: undefined })),
      }),
    /** Lets everything go on that waits for no time and no database. */
    settle: () => jest.advanceTimersByTimeAsync(0),
  };
}

describe('a kid that is not in the ring', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is looked up by a query that began after it was asked for', async () => {
    const { refresh, queries, commit, settle } = begin();
    const older = refresh.load();
    commit(key);
    const found = refresh.find('new');
    await settle();

    queries[0]?.answer();
    await older;
    await settle();
    queries[1]?.answer();

    expect((await found)?.kid).toBe('new');
  });

  it('is not answered by what another miss asked before', async () => {
    const { refresh, queries, commit, settle } = begin();
    const earlier = refresh.find('other');
    await settle();
    commit(key);
    const found = refresh.find('new');
    queries[0]?.answer();
    expect(await earlier).toBeUndefined();

    await jest.advanceTimersByTimeAsync(1_000);
    queries[1]?.answer();

    expect((await found)?.kid).toBe('new');
  });

  it('costs one query a second, however many ask for however many', async () => {
    const { refresh, queries, settle } = begin();
    const ask = (round: number) => Array.from({ length: 50 }, (_, index) => refresh.find(`${round}-${index}`));
    const answers = [...ask(1)];
    await settle();
    answers.push(...ask(2));
    await jest.advanceTimersByTimeAsync(999);
    expect(queries).toHaveLength(1);

    await jest.advanceTimersByTimeAsync(1);
    expect(queries).toHaveLength(2);
    answers.push(...ask(3));
    await jest.advanceTimersByTimeAsync(999);
    expect(queries).toHaveLength(2);
    await jest.advanceTimersByTimeAsync(1);
    expect(queries).toHaveLength(3);

    queries.forEach(({ answer }) => answer());
    expect(new Set(await Promise.all(answers))).toEqual(new Set([undefined]));
  });

  it('is asked for again after a query that failed', async () => {
    const { refresh, queries, commit, settle } = begin();
    const unanswered = expect(refresh.find('new')).rejects.toMatchObject({ code: 'keys_unavailable' });
    await settle();
    queries[0]?.fail();
    await unanswered;
    commit(key);

    const found = refresh.find('new');
    await jest.advanceTimersByTimeAsync(1_000);
    queries[1]?.answer();

    expect((await found)?.kid).toBe('new');
  });

  it('is looked up once more when history was rewound under the query', async () => {
    const { ring, refresh, queries, commit, settle } = begin();
    commit();
    const loaded = refresh.load();
    queries[0]?.answer();
    await loaded;
    commit(key);
    const found = refresh.find('new');
    await settle();

    ring.rewind();
    queries[1]?.answer();
    await settle();
    expect([ring.knows(0), ring.get('new')]).toEqual([false, undefined]);
    queries[2]?.answer();

    expect((await found)?.kid).toBe('new');
  });

  it('leaves the newer keys when an older query answers last', async () => {
    const { ring, refresh, queries, commit, settle } = begin();
    const older = refresh.load();
    commit(key);
    const found = refresh.find('new');
    await settle();
    queries[1]?.answer();
    expect((await found)?.kid).toBe('new');

    queries[0]?.answer();
    await older;

    expect(ring.get('new')?.kid).toBe('new');
  });
});
