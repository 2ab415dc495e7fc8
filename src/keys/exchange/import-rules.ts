import type { Algorithm, Instant, SigningKey } from '../signing-key.js';
import { refusal } from './refusal.js';

/** What a person says beside the file. */
export interface ImportWishes {
  readonly kid?: string | undefined;
  readonly algorithm?: Algorithm | undefined;
  /** For keys whose file names no end. */
  readonly expiresAt?: Instant | undefined;
}

/** What is here already. */
export interface ImportWorld {
  /** Every key there ever was: a kid is never used twice. */
  readonly keys: readonly SigningKey[];
  readonly now: Instant;
  /** Milliseconds. */
  readonly maxTokenTtl: number;
}

const KID = /^[A-Za-z0-9_-]{1,64}$/;

/** @throws KeyturnError `key_change_refused`: the pair was revoked, for another reason than `superseded` */
export function refuseRevoked(thumbprint: string, where: string, { keys }: ImportWorld): void {
  const dead = keys.find(
    (key) => key.thumbprint === thumbprint && key.revokedAt !== null && key.revocationReason !== 'superseded',
  );
  if (!dead) return;
  throw refusal(
    'revoked',
    `${where} is the pair of ${dead.kid}, which was revoked (${dead.revocationReason ?? ''}) and never comes back.`,
  );
}

/** @throws KeyturnError `key_change_refused`: not the agreed shape, or taken */
export function refuseBadKid(kid: string, thumbprint: string | null, where: string, { keys }: ImportWorld): void {
  const advice = `Give it another with --kid, such as --kid imported-${thumbprint?.slice(0, 8) ?? 'secret'}; tokens signed elsewhere go on naming the old one.`;
  if (!KID.test(kid)) throw refusal('kid', `${where}: a kid is 1 to 64 letters, digits, - and _. ${advice}`);
  const holder = keys.find((key) => key.kid === kid);
  if (!holder) return;
  const same = thumbprint !== null && holder.thumbprint === thumbprint ? ', by the same key' : '';
  throw refusal('kid_taken', `${where}: the kid ${kid} is taken here${same} (version ${holder.version}). ${advice}`);
}
