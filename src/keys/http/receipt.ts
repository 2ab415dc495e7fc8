import { iso } from '../../common/iso.js';
import type { KeyPolicy } from '../../config/config.js';
import type { RevocationOutcome } from '../operations/key-rotation.js';

/** What a revocation is answered with. Times are ISO 8601 in UTC. */
export interface Receipt {
  readonly revoked: string;
  /** kid of the key that signs now; null: nobody, until a running server makes one, or opens the one that waits. */
  readonly signer: string | null;
  /** kid of the standby that did not take over although nobody signs, because no running server opens its private half. */
  readonly shutStandby: string | null;
  readonly at: string;
  readonly replicas: {
    /** Servers that verify, or may: seen within KEY_OFFLINE_LIMIT and not signed off. */
    readonly live: number;
    readonly following: number;
    readonly afterMilliseconds: number;
    /** Servers that were not seen to follow. Cut off from the database, they stop verifying at `verifiesAtMostUntil`. */
    readonly silent: readonly { readonly id: string; readonly verifiesAtMostUntil: string }[];
  };
  /** By then no cache that honours `max-age` shows the key any more. */
  readonly outsideCachesBy: string;
}

export const receiptOf = (
  { at, revoked, signer, shut, reach }: RevocationOutcome,
  policy: Pick<KeyPolicy, 'jwksMaxAge'>,
): Receipt => ({
  revoked: revoked.kid,
  signer: signer?.kid ?? null,
  shutStandby: shut?.kid ?? null,
  at: iso(at),
  replicas: {
    live: reach.live,
    following: reach.following,
    afterMilliseconds: reach.after,
    silent: reach.silent.map(({ id, verifiesUntil }) => ({ id, verifiesAtMostUntil: iso(verifiesUntil) })),
  },
  outsideCachesBy: iso(at + policy.jwksMaxAge),
});
