import { Injectable } from '@nestjs/common';
import { KeyturnError } from '../../common/errors.js';
import type { Actor } from '../../database/change.js';
import { planRotation, type RotationRequest } from '../planning/plan-keys.js';
import { Replicas, type Reach } from '../replicas/replicas.js';
import { signerAmong, standbyAmong, type Instant, type SigningKey } from '../signing-key.js';
import { SigningKeyStore } from '../store/signing-key-store.js';

/** What a rotation did. */
export interface RotationOutcome {
  readonly at: Instant;
  readonly retired: SigningKey | undefined;
  readonly activated: SigningKey;
  readonly forced: boolean;
}

/** What a revocation did. */
export interface RevocationOutcome {
  readonly at: Instant;
  readonly revoked: SigningKey;
  /** Who signs now; undefined: nobody, until a running server makes a new key, or opens the one that waits. */
  readonly signer: SigningKey | undefined;
  /** The standby that did not take over although nobody signs, because no running server opens its private half. */
  readonly shut: SigningKey | undefined;
  /** How far the servers that are up had followed when the answer was given. */
  readonly reach: Reach;
}

/** How long a revocation waits for the servers' word; each hears of it within a second or is cut off. Milliseconds. */
export const RECEIPT_PATIENCE_MS = 2_500;

/** The two things people do to keys in a hurry. They only move timestamps, so whoever asks needs no key-encryption key. */
@Injectable()
export class KeyRotation {
  constructor(
    private readonly store: SigningKeyStore,
    private readonly replicas: Replicas,
  ) {}

  /**
   * The standby takes over now; a running server publishes the next one.
   * @throws KeyturnError `version_conflict`, `standby_too_young`, `key_change_refused`, `database_unavailable`
   */
  async rotate(actor: Actor, request: RotationRequest = {}): Promise<RotationOutcome> {
    const { keys: seen, now: seenAt } = await this.store.look();
    const standby = standbyAmong(seen, seenAt);
    const shut = standby !== undefined && (await this.replicas.shut(standby.version));
    return this.store.change(actor, (keys, now) => {
      const takeover = planRotation(keys, now, request);
      const activated = keys.find((key) => key.version === takeover.version);
      if (!activated) throw new Error(`planned version ${takeover.version} is not among the keys read`);
      if (shut && activated.version === standby.version) {
        throw new KeyturnError(
          'key_change_refused',
          `No running server can open the private half of ${activated.kid}. Check KEK_FILE on the servers.`,
        );
      }
      const forced = takeover.activation === 'forced';
      return { changes: { takeover }, result: { at: now, retired: signerAmong(keys, now), activated, forced } };
    });
  }

  /**
   * Declares a key dead everywhere, at once and for good. If it signed, the standby takes over in the same statement, unless no running
   * server opens that.
   * @throws KeyturnError `validation_failed`, `not_found`, `key_change_refused`, `database_unavailable`
   */
  async revoke(actor: Actor, kid: string, reason: string): Promise<RevocationOutcome> {
    refuseSuperseded(reason);
    const { at, generation } = await this.store.revoke(actor, kid, reason);
    const reach = await this.replicas.follow(generation, at, RECEIPT_PATIENCE_MS);
    const { keys, now } = await this.store.all();
    const revoked = keys.find((key) => key.kid === kid);
    if (!revoked) throw new Error(`key ${kid} has gone`);
    const signer = signerAmong(keys, now);
    const waiting = signer ? undefined : standbyAmong(keys, now);
    const isShut = waiting !== undefined && (await this.replicas.shut(waiting.version));
    return { at, revoked, signer, shut: isShut ? waiting : undefined, reach };
  }
}

/** The word by which a displaced standby is known: its pair may come back. Whoever revokes a key means that it may not. */
function refuseSuperseded(reason: string): void {
  if (reason.trim() !== 'superseded') return;
  const problem =
    'superseded is what a replaced standby is called, and leaves the key pair usable: say why in other words';
  throw new KeyturnError('validation_failed', `The reason ${problem}.`, { fields: [{ field: 'reason', problem }] });
}
