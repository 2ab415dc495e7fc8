import { compactVerify, decodeProtectedHeader, importJWK } from 'jose';
import { z } from 'zod';
import type { Facts } from './history-entry.js';

/** JWS header `typ`: no verifier of access tokens takes a checkpoint for one. */
export const CHECKPOINT_TYP = 'keyturn-checkpoint+jwt';

const headerSchema = z.looseObject({ alg: z.string(), kid: z.string(), typ: z.literal(CHECKPOINT_TYP) });
const claimsSchema = z.looseObject({
  seq: z.int().positive(),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  /** Seconds since 1970. */
  iat: z.int().positive(),
});

/** What a checkpoint says, believed as it stands: its signature is another question. */
export interface Checkpoint {
  readonly jws: string;
  readonly algorithm: string;
  readonly kid: string;
  readonly seq: number;
  readonly hash: string;
  readonly iat: number;
}

/** @returns undefined when the text is no checkpoint */
export function readCheckpoint(jws: string): Checkpoint | undefined {
  try {
    const header = headerSchema.parse(decodeProtectedHeader(jws));
    const claims = claimsSchema.parse(JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString('utf8')));
    return { jws, algorithm: header.alg, kid: header.kid, seq: claims.seq, hash: claims.hash, iat: claims.iat };
  } catch {
    return undefined;
  }
}

const keptAnswer = z.looseObject({ jws: z.string() });

/**
 * The checkpoints of a file that an auditor kept: the answer of `GET /history/checkpoint`, or compact JWS, one a line.
 * @returns undefined when there is none in it, or something else
 */
export function readKeptCheckpoints(text: string): readonly Checkpoint[] | undefined {
  const trimmed = text.trim();
  const lines = trimmed.startsWith('{') ? [jwsOfAnswer(trimmed)] : trimmed.split(/\s+/);
  const read = lines.map(readCheckpoint).filter((checkpoint) => checkpoint !== undefined);
  return read.length === lines.length ? read : undefined;
}

function jwsOfAnswer(text: string): string {
  try {
    return keptAnswer.parse(JSON.parse(text)).jws;
  } catch {
    return '';
  }
}

const instant = z.string().transform((text) => Date.parse(text));
const signerSchema = z.looseObject({
  algorithm: z.string(),
  signs: z.boolean(),
  public_jwk: z.record(z.string(), z.unknown()),
  published_at: instant,
  activates_at: instant,
  retires_at: instant.optional(),
  revoked_at: instant.optional(),
});

type Signer = z.output<typeof signerSchema> & { readonly key: () => ReturnType<typeof importJWK> };
const signers = new WeakMap<Facts, Signer | undefined>();

/** Read once a key, however many checkpoints name it. */
function signerOf(facts: Facts): Signer | undefined {
  if (signers.has(facts)) return signers.get(facts);
  const read = signerSchema.safeParse(withoutNullMembers(facts)).data;
  let key: ReturnType<typeof importJWK> | undefined;
  const signer = read && { ...read, key: () => (key ??= importJWK(read.public_jwk, read.algorithm)) };
  signers.set(facts, signer);
  return signer;
}

/**
 * Was it signed by that key, one that signs, while it signed? Servers whose clocks differ, or that hear late, get two minutes either way.
 * @param facts the row of the key, whose kid the checkpoint names
 * @returns why it was not, or undefined
 */
export async function signatureProblem(checkpoint: Checkpoint, facts: Facts | undefined): Promise<string | undefined> {
  const { kid, algorithm, jws } = checkpoint;
  if (!facts) return `it names the key ${kid}, which does not exist`;
  const signer = signerOf(facts);
  if (!signer || signer.algorithm !== algorithm) return `it is not signed with the algorithm of ${kid}`;
  try {
    await compactVerify(jws, await signer.key(), { algorithms: [algorithm] });
  } catch {
    return `${kid} did not sign it`;
  }
  if (!signer.signs) return `${kid} is kept to verify, and signs nothing`;
  const signedAt = checkpoint.iat * 1_000;
  const until = Math.min(signer.retires_at ?? Infinity, signer.revoked_at ?? Infinity);
  // Where the clock was set back behind its beginning, its window tells less than all that it signed.
  const outOfOrder =
    signer.activates_at < signer.published_at || (signer.revoked_at ?? Infinity) <= signer.activates_at;
  const signs = outOfOrder || (signer.activates_at < until && signedAt <= until + LEEWAY_MS);
  return !signs || signedAt < signer.activates_at - LEEWAY_MS
    ? `it says that ${kid} signed it at ${new Date(signedAt).toISOString()}, when that key did not sign`
    : undefined;
}

const LEEWAY_MS = 120_000;

const withoutNullMembers = (facts: Facts): Facts =>
  Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null));
