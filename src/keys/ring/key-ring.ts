import type { KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DatabaseClock } from '../../database/database-clock.js';
import { signerAmong, standbyAmong, stateOf, type SigningKey } from '../signing-key.js';

/** A key with the half that verifies, ready for use. */
export interface RingKey extends SigningKey {
  /** Public key, or the secret of an HMAC key; undefined where that secret cannot be opened here, or the row is damaged. */
  readonly verificationKey: KeyObject | undefined;
  /** Why the row cannot be used: such a key verifies nothing, signs nothing and is not published. */
  readonly damage?: string | undefined;
}

/** The live keys in memory. Judges nothing by itself: a key's state is a function of its timestamps and the clock. */
@Injectable()
export class KeyRing {
  private byKid: ReadonlyMap<string, RingKey> = new Map();
  private keys: readonly RingKey[] = [];
  /** seq of the newest key event that these keys know of; -1 before the first load. */
  generation = -1;
  /** How often history was rewound: what was asked before says nothing about what is now. */
  epoch = 0;
  /** The epoch that these keys are of. */
  private landed = 0;

  constructor(private readonly clock: DatabaseClock) {}

  /**
   * Numbers of events no longer tell what is newer: the next load lands, whatever its generation, and none that began before this. Until
   * then these keys go on, as they do when nothing is heard of the database at all.
   */
  rewind(): void {
    this.epoch += 1;
  }

  /** Do these keys know of this key event? Those of a history that was rewound since know of none. */
  knows(generation: number): boolean {
    return this.landed === this.epoch && this.generation >= generation;
  }

  replace(generation: number, keys: readonly RingKey[]): void {
    if (this.knows(generation + 1)) return; // a slow load that a newer one has overtaken
    this.landed = this.epoch;
    this.generation = generation;
    this.keys = keys;
    this.byKid = new Map(keys.map((key) => [key.kid, key]));
  }

  /** A key of this kid, in whatever state; undefined when none is known. */
  get(kid: string): RingKey | undefined {
    return this.byKid.get(kid);
  }

  signer(): RingKey | undefined {
    return signerAmong(this.keys, this.clock.now());
  }

  standby(): RingKey | undefined {
    return standbyAmong(this.keys, this.clock.now());
  }

  /** What JWKS shows: pending, active and retiring keys that have a public half. */
  published(): readonly RingKey[] {
    return this.current().filter((key) => key.publicJwk !== null && key.damage === undefined);
  }

  /** Keys that sign, now or later. */
  toSign(): readonly RingKey[] {
    const now = this.clock.now();
    return this.keys.filter((key) => key.signs && ['pending', 'active'].includes(stateOf(key, now)));
  }

  /** Keys that would be used now or later, and cannot be. */
  damaged(): readonly RingKey[] {
    return this.current().filter((key) => key.damage !== undefined);
  }

  /** Neither expired nor revoked. */
  private current(): readonly RingKey[] {
    const now = this.clock.now();
    return this.keys.filter((key) => !['expired', 'revoked'].includes(stateOf(key, now)));
  }
}
