import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * A refresh token: which session, how many came before it, and 256 secret bits. Each successor's bits are derived from those before
 * (HMAC-SHA-256 under a secret that the servers share), so that a retry gets the same successor, and any earlier token of the
 * family is recognised without being stored. As text it also carries a proof that we made it (128 bits of an HMAC under the same secret), so
 * that a forged one costs one HMAC and no look at the database.
 */
export interface RefreshToken {
  readonly sessionId: string;
  readonly generation: number;
  /** 32 bytes. */
  readonly bits: Buffer;
}

const PREFIX = 'ktr_';
const UUID_BYTES = 16;
const BITS_END = UUID_BYTES + 4 + 32;
const PROOF_BYTES = 16;
/** Years of refreshing every second; the column that counts them holds twice as many. */
const MOST_GENERATIONS = 2 ** 30;

export const firstRefreshToken = (sessionId: string): RefreshToken => ({
  sessionId,
  generation: 0,
  bits: randomBytes(32),
});

export const successorOf = ({ sessionId, generation, bits }: RefreshToken, secret: Buffer): RefreshToken => ({
  sessionId,
  generation: generation + 1,
  bits: createHmac('sha256', secret).update(bits).digest(),
});

/** What is stored of the one token that is good now. */
export const hashOf = ({ bits }: RefreshToken): Buffer => createHash('sha256').update(bits).digest();

/**
 * An ancestor further back is not looked for: whoever holds an old token could have us derive for as long as they like. A session that is
 * refreshed every five minutes for the usual thirty days has fewer.
 */
export const FARTHEST_ANCESTOR = 10_000;

/**
 * Is `token` an ancestor of, or itself, the token of `generation` with this hash? Costs one HMAC a generation between, and nothing beyond
 * {@link FARTHEST_ANCESTOR}.
 */
export function leadsTo(token: RefreshToken, generation: number, hash: Buffer, secret: Buffer): boolean {
  if (generation - token.generation > FARTHEST_ANCESTOR) return false;
  let current = token;
  while (current.generation < generation) current = successorOf(current, secret);
  return current.generation === generation && timingSafeEqual(hashOf(current), hash);
}

export function writeRefreshToken({ sessionId, generation, bits }: RefreshToken, secret: Buffer): string {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(generation);
  const token = Buffer.concat([Buffer.from(sessionId.replaceAll('-', ''), 'hex'), count, bits]);
  return PREFIX + Buffer.concat([token, proofOf(token, secret)]).toString('base64url');
}

/** Undefined when it has not the shape of one, or was not written under this secret. */
export function readRefreshToken(text: string, secret: Buffer): RefreshToken | undefined {
  if (!text.startsWith(PREFIX)) return undefined;
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
  if (bytes.length !== BITS_END + PROOF_BYTES || PREFIX + bytes.toString('base64url') !== text) return undefined;
  if (!timingSafeEqual(bytes.subarray(BITS_END), proofOf(bytes.subarray(0, BITS_END), secret))) return undefined;
  const generation = bytes.readUInt32BE(UUID_BYTES);
  if (generation > MOST_GENERATIONS) return undefined;
  const hex = bytes.toString('hex', 0, UUID_BYTES);
  return {
    sessionId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    generation,
    bits: bytes.subarray(UUID_BYTES + 4, BITS_END),
  };
}

/** What it proves is longer than what {@link successorOf} hashes: the one is never the other. */
const proofOf = (token: Buffer, secret: Buffer): Buffer =>
  createHmac('sha256', secret).update('refresh token').update(token).digest().subarray(0, PROOF_BYTES);
