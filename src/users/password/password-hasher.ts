import * as argon2 from '@node-rs/argon2';
import { Permits, type Turn } from './permits.js';

/** RFC 9106 §3.1. */
export interface Argon2Cost {
  /** m, in KiB, for each hash that runs. */
  readonly memoryCost: number;
  /** t, passes over the memory. */
  readonly timeCost: number;
  /** p, lanes. */
  readonly parallelism: number;
}

/** The least that OWASP's Password Storage Cheat Sheet and ASVS 11.4.2 accept for argon2id. */
export const DEFAULT_ARGON2_COST: Argon2Cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

export interface PasswordHasherOptions {
  readonly cost?: Argon2Cost;
  /** Hashes that run at once. Each holds one of libuv's four threads, which DNS and files share, so fewer than that. */
  readonly concurrency: number;
  /** Hashes that may wait for a permit. */
  readonly queue: number;
}

/**
 * What `hash` writes: argon2id, version 19, a salt of 16 bytes and a digest of 32, in the PHC string format. The package
 * would call a digest that was cut short a wrong password; we call it a defect.
 */
const PHC =
  /^\$argon2id\$v=19\$m=(?<m>\d{1,10}),t=(?<t>\d{1,10}),p=(?<p>\d{1,3})\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/;

/** Whoever has proven something already: a session, a code, or that the command line is theirs. */
const TRUSTED: Turn = { of: 'trusted', known: true };

/** Hashes and checks passwords with argon2id; only a bounded number at once, whose parties take turns. */
export class PasswordHasher {
  private readonly cost: Argon2Cost;
  private readonly permits: Permits;
  private readonly dummy: string;

  /** @param engine argon2; given only by tests */
  constructor(
    { cost = DEFAULT_ARGON2_COST, concurrency, queue }: PasswordHasherOptions,
    private readonly engine: Pick<typeof argon2, 'hash' | 'verify'> = argon2,
  ) {
    this.cost = cost;
    this.permits = new Permits(concurrency, queue);
    this.dummy = dummyOf(cost);
  }

  /**
   * @returns a PHC string with a salt of its own
   * @throws KeyturnError `busy` when too many hashes wait already
   */
  hash(password: string, turn = TRUSTED): Promise<string> {
    // argon2id is the package's default; isolated modules cannot read the `const enum` that would say so.
    return this.permits.run(turn, () => this.engine.hash(normalise(password), this.cost));
  }

  /**
   * A hash that was made at a lower cost is followed by what it lacks of today's, so that time does not tell it from `verifyDummy`.
   * @throws KeyturnError `busy` when too many hashes wait already
   * @throws Error when the stored hash is malformed: a defect, which must not pass for a wrong password
   */
  async verify(phc: string, password: string, turn = TRUSTED): Promise<boolean> {
    const rest = this.restOf(readCost(phc));
    return this.permits.run(turn, async () => {
      const right = await this.engine.verify(phc, normalise(password));
      if (rest) await this.engine.verify(dummyOf(rest), normalise(password));
      return right;
    });
  }

  /** Does for an unknown user what `verify` does for a known one, so that time tells nobody who exists. */
  async verifyDummy(password: string, turn = TRUSTED): Promise<false> {
    await this.verify(this.dummy, password, turn);
    return false;
  }

  /** What a hash of this cost lacks of today's: time goes with memory times passes. Undefined when it is too little to be done. */
  private restOf(made: Argon2Cost): Argon2Cost | undefined {
    const { memoryCost, timeCost, parallelism } = this.cost;
    const rest = Math.round((memoryCost * timeCost - made.memoryCost * made.timeCost) / timeCost);
    return rest < LEAST_MEMORY * parallelism ? undefined : { memoryCost: rest, timeCost, parallelism };
  }

  /** Whether the cost has risen, or the lanes have changed, since this hash was made. */
  needsRehash(phc: string): boolean {
    const made = readCost(phc);
    return (
      made.memoryCost < this.cost.memoryCost ||
      made.timeCost < this.cost.timeCost ||
      made.parallelism !== this.cost.parallelism
    );
  }
}

/** KiB for each lane (RFC 9106 section 3.1). */
const LEAST_MEMORY = 8;

/** All zeros for salt and digest: checked like any other, matched by no password. */
const dummyOf = ({ memoryCost: m, timeCost: t, parallelism: p }: Argon2Cost): string =>
  `$argon2id$v=19$m=${m},t=${t},p=${p}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** One password however the keyboard composes it (RFC 8265 §4.2.2 asks for NFC). Nothing is cut off. */
function normalise(password: string): string {
  return password.normalize('NFC');
}

function readCost(phc: string): Argon2Cost {
  const found = PHC.exec(phc)?.groups;
  if (!found) throw new Error('A stored password hash is malformed'); // and must not be shown
  return { memoryCost: Number(found['m']), timeCost: Number(found['t']), parallelism: Number(found['p']) };
}
