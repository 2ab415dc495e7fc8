import { iso } from '../../common/iso.js';
import { stateOf, type Instant, type SigningKey } from '../signing-key.js';

/** A key as administrators see it, by HTTP and with `--json`. Times are ISO 8601 in UTC. */
export interface KeyView {
  readonly version: number;
  readonly kid: string;
  readonly algorithm: string;
  readonly state: string;
  readonly origin: string;
  readonly activation: string | null;
  readonly publishedAt: string;
  readonly activatesAt: string;
  readonly retiresAt: string | null;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly revocationReason: string | null;
  readonly privateKeyDestroyedAt: string | null;
}

export const viewKey = (key: SigningKey, now: Instant): KeyView => ({
  version: key.version,
  kid: key.kid,
  algorithm: key.algorithm,
  state: stateOf(key, now),
  origin: key.origin,
  activation: key.activation,
  publishedAt: iso(key.publishedAt),
  activatesAt: iso(key.activatesAt),
  retiresAt: iso(key.retiresAt),
  expiresAt: iso(key.expiresAt),
  revokedAt: iso(key.revokedAt),
  revocationReason: key.revocationReason,
  privateKeyDestroyedAt: iso(key.privateKeyDestroyedAt),
});
