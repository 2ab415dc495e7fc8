import { Inject, Injectable, Logger } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { KeyturnError } from '../../common/errors.js';
import { Tally } from '../../common/tally.js';
import { CONFIG, type Config } from '../../config/config.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { checkInstants, MalformedKey, verificationKey } from '../key-material.js';
import { SigningKeyStore } from '../store/signing-key-store.js';
import { isHmac, verifies, type SigningKey } from '../signing-key.js';
import { LocalKeyVault } from '../vault/local-key-vault.js';
import { KeyRing, type RingKey } from './key-ring.js';

/** An unknown kid costs at most one refresh in this time, however many ask. */
const MISS_INTERVAL_MS = 1_000;

/** What a ring wants of a vault: the secrets of HMAC keys, which verify too. */
export type Secrets = Pick<LocalKeyVault, 'load' | 'secretOf'>;

/** Keeps the ring as new as it must be, and finds keys in it. */
@Injectable()
export class KeyRefresh {
  private readonly logger = new Logger('KeyRefresh');
  /** seq of the newest key event that anybody told of. */
  private heardOf = -1;
  private loading: Promise<void> | undefined;
  /** The refresh for misses that has not asked the database yet: whoever comes now is still answered by it. */
  private nextForMisses: Promise<void> | undefined;
  private lastMissAt = -Infinity;
  /** Kids that a refresh a moment ago did not bring. Bounded, and apart from the ring: no flood evicts a good key. */
  private readonly unknown = new LRUCache<string, true>({ max: 1_000, ttl: MISS_INTERVAL_MS });

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly store: SigningKeyStore,
    private readonly ring: KeyRing,
    @Inject(LocalKeyVault) private readonly vault: Secrets,
    private readonly clock: DatabaseClock,
    private readonly tally: Tally,
  ) {}

  /** Loads the live keys. Callers at the same time share one load. @throws KeyturnError `database_unavailable` */
  load(): Promise<void> {
    this.loading ??= this.loadNow().finally(() => (this.loading = undefined));
    return this.loading;
  }

  /** Loads until the ring knows of the key event `generation`. */
  async atLeast(generation: number): Promise<void> {
    if (!this.ring.knows(generation)) this.heardOf = generation;
    // A load already under way may have begun before that event: then a second one follows.
    for (let round = 0; !this.ring.knows(generation) && round < 3; round++) await this.load();
  }

  /** seq of a key event that the ring should know of and does not; undefined when it knows all that was heard of. */
  get missed(): number | undefined {
    return this.ring.knows(this.heardOf) ? undefined : this.heardOf;
  }

  /**
   * The key to verify a token of this kid with. One that is unknown or still pending waits for one shared refresh.
   * @returns undefined when there is no such key, or none that verifies now
   * @throws KeyturnError `keys_unavailable` when that cannot be known: nothing was heard of the database for too long
   */
  async find(kid: string): Promise<RingKey | undefined> {
    this.refuseWhenCutOff();
    const known = this.ring.get(kid);
    if (known && (this.verifiesNow(known) || known.activatesAt <= this.clock.now())) return this.usable(known);
    if (!known && this.unknown.has(kid)) return undefined;
    await this.refreshForMiss();
    const found = this.ring.get(kid);
    if (!found) this.unknown.set(kid, true);
    return found && this.usable(found);
  }

  /**
   * What others may verify with: pending, active and retiring keys that have a public half.
   * @throws KeyturnError `keys_unavailable` when that cannot be known. That there are none would be believed, and cached.
   */
  published(): readonly RingKey[] {
    this.refuseWhenCutOff();
    if (this.ring.generation < 0)
      throw new KeyturnError('keys_unavailable', 'No keys have been loaded yet.', { retryAfter: 2 });
    return this.ring.published();
  }

  /** Does the key verify at this moment? */
  verifiesNow(key: RingKey): boolean {
    return verifies(key, this.clock.now(), this.config.keys.clockSkew);
  }

  /** @throws KeyturnError `keys_unavailable` after KEY_OFFLINE_LIMIT without a word from the database */
  refuseWhenCutOff(): void {
    if (this.clock.silence() <= this.config.keys.offlineLimit) return;
    throw new KeyturnError('keys_unavailable', 'Keys cannot be checked at the moment.', { retryAfter: 2 });
  }

  /**
   * The end of a key's window may have moved while it still lay ahead.
   * @throws KeyturnError `keys_unavailable` when nothing was heard of the database since
   */
  refuseWhenWindowMayHaveMoved({ retiresAt }: RingKey): void {
    if (retiresAt === null || retiresAt < this.clock.now() - this.clock.silence()) return;
    throw new KeyturnError('keys_unavailable', 'Keys cannot be checked at the moment.', { retryAfter: 2 });
  }

  private usable(key: RingKey): RingKey | undefined {
    if (!this.verifiesNow(key)) return undefined;
    if (key.verificationKey) return key;
    throw new KeyturnError('keys_unavailable', 'A key that is needed cannot be opened at the moment.', {
      retryAfter: 5,
    });
  }

  private refreshForMiss(): Promise<void> {
    this.nextForMisses ??= this.waitTurnAndLoad();
    return this.nextForMisses;
  }

  /** One query for all who missed before it began. A load already under way may have begun before the key was there. */
  private async waitTurnAndLoad(): Promise<void> {
    const wait = Math.max(0, this.lastMissAt + MISS_INTERVAL_MS - performance.now());
    await new Promise((resolve) => setTimeout(resolve, wait));
    this.lastMissAt = performance.now();
    this.nextForMisses = undefined;
    this.tally.count('unknownKidRefreshes', 'done');
    try {
      await this.loadNow();
    } catch (error) {
      throw new KeyturnError(
        'keys_unavailable',
        'Keys cannot be looked up at the moment.',
        { retryAfter: 2 },
        { cause: error },
      );
    }
  }

  private async loadNow(): Promise<void> {
    const { epoch } = this.ring;
    const { generation, keys } = await this.store.load();
    if (epoch !== this.ring.epoch) return this.loadNow();
    if (this.ring.knows(generation + 1)) return; // a slow load that a newer one has overtaken
    const halves = new Map(keys.map(({ key }) => [key.version, this.publicHalf(key)]));
    // Without its public half nobody could verify what the private one signs: it counts as one that cannot be opened.
    this.vault.load({ generation, keys: keys.filter(({ key }) => halves.get(key.version)?.damage === undefined) });
    this.ring.replace(
      generation,
      keys.map(({ key }): RingKey => {
        const secret = isHmac(key.algorithm) ? this.vault.secretOf(key.version) : undefined;
        return { ...key, verificationKey: secret, ...halves.get(key.version) };
      }),
    );
  }

  /** Each key apart: one damaged row must not keep the server from hearing of the others. */
  private publicHalf(key: SigningKey): Partial<Pick<RingKey, 'verificationKey' | 'damage'>> {
    const before = this.ring.get(key.kid);
    try {
      checkInstants(key);
      if (isHmac(key.algorithm)) return {};
      const isSame = before?.version === key.version && before.thumbprint === key.thumbprint;
      if (isSame && before.verificationKey) return { verificationKey: before.verificationKey };
      return { verificationKey: verificationKey(key.algorithm, key.publicJwk, undefined) };
    } catch (error) {
      if (!(error instanceof MalformedKey)) throw error;
      if (before?.damage !== error.message) this.logger.error(`key ${key.kid} cannot be used: ${error.message}`);
      return { damage: error.message };
    }
  }
}
