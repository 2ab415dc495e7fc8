import { Inject, Injectable, Logger } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { SYSTEM } from '../../database/change.js';
import { GENERATE_KEY, type GenerateKey, type KeyMaterial } from '../key-material.js';
import { isSettled, planKeys, type KeyPlan, type Readability } from '../planning/plan-keys.js';
import { Replica } from '../replicas/replica.js';
import { Replicas } from '../replicas/replicas.js';
import { KeyRefresh } from '../ring/key-refresh.js';
import { KeyRing } from '../ring/key-ring.js';
import type { Instant, SigningKey } from '../signing-key.js';
import { SigningKeyStore } from '../store/signing-key-store.js';
import { LocalKeyVault } from '../vault/local-key-vault.js';

/**
 * The one place that mints. Read, decide, generate outside the transaction, decide again inside: whoever loses the race
 * finds nothing left to do, which is normal.
 */
@Injectable()
export class KeyTick {
  private readonly logger = new Logger('KeyTick');
  private running: Promise<number> | undefined;
  private complaint = '';

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(GENERATE_KEY) private readonly generate: GenerateKey,
    private readonly store: SigningKeyStore,
    private readonly refresh: KeyRefresh,
    private readonly ring: KeyRing,
    private readonly vault: LocalKeyVault,
    private readonly replicas: Replicas,
    private readonly replica: Replica,
  ) {}

  /**
   * Does what is due, if anything is. Callers at the same time share one run.
   * @returns seq of the newest key event that it knew of when it looked: of a later one it says nothing
   * @throws KeyturnError
   */
  run(): Promise<number> {
    this.running ??= this.runNow().finally(() => (this.running = undefined));
    return this.running;
  }

  /** The same for those who cannot do anything about a failure: it is logged, once until it changes, and the answer undefined. */
  async runAndReport(): Promise<number | undefined> {
    try {
      const knew = await this.run();
      this.complaint = '';
      return knew;
    } catch (error) {
      const complaint = error instanceof Error ? error.message : 'unknown error';
      if (complaint !== this.complaint) this.logger.error(`keys could not be kept in order: ${complaint}`);
      this.complaint = complaint;
      return undefined;
    }
  }

  private async runNow(): Promise<number> {
    await this.load();
    const knew = this.ring.generation;
    try {
      await this.keepInOrder();
    } catch (error) {
      // A key that another server published after our load is not open here yet: nothing to complain of.
      await this.load();
      if (this.ring.generation === knew) throw error;
      await this.keepInOrder();
    }
    return knew;
  }

  private async load(): Promise<void> {
    await this.refresh.load();
    await this.replica.report();
  }

  private async keepInOrder(): Promise<void> {
    const opened = await this.replicas.openedAnywhere();
    const readable: Readability = {
      opensHere: (version) => this.vault.opens(version),
      opensAnywhere: (version) => this.vault.opens(version) || opened.has(version),
    };
    const plan = (keys: readonly SigningKey[], now: Instant): KeyPlan =>
      planKeys(keys, this.config.keys, now, readable);

    const { keys, now } = await this.store.look();
    const sketch = plan(keys, now);
    if (!isSettled(sketch)) await this.settle(sketch, plan);
    if (sketch.stuck) throw sketch.stuck;
  }

  private async settle(sketch: KeyPlan, plan: (keys: readonly SigningKey[], now: Instant) => KeyPlan): Promise<void> {
    // At each change the database asks who opens the standby, by a clock that may have been set on since our last word.
    await this.replica.report(true);
    const { algorithm, modulusLength } = this.config.keys;
    const materials = await Promise.all(sketch.mints.map(() => this.generate(algorithm, modulusLength)));
    await this.store.change(
      SYSTEM,
      (latest, instant) => this.carryOut(plan(latest, instant), materials),
      this.vault.seal,
    );
    await this.load();
  }

  private carryOut({ takeover, mints, destroy }: KeyPlan, materials: readonly KeyMaterial[]) {
    const publish = mints.flatMap((mint, index) => {
      const material = materials[index];
      return material ? [{ mint, material }] : [];
    });
    if (mints.length === 0 && materials.length > 0) this.logger.log('another server was faster; nothing left to do');
    return { changes: { takeover, publish, destroy }, result: {} };
  }
}
