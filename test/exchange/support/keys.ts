import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { KeyturnError } from '../../../src/common/errors.js';
import type { FoundKey } from '../../../src/keys/exchange/found-key.js';

export interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const rsaPair = (modulusLength = 2048, publicExponent = 65_537): Pair =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent });
export const ecPair = (namedCurve: string): Pair => generateKeyPairSync('ec', { namedCurve });

type PemType = 'pkcs1' | 'pkcs8' | 'sec1' | 'spki';

export const pem = (key: KeyObject, type: PemType, passphrase?: string): string =>
  key
    .export({ type, format: 'pem', ...(passphrase !== undefined && { cipher: 'aes-256-cbc', passphrase }) })
    .toString();

export const jwk = (key: KeyObject): JWK => key.export({ format: 'jwk' });

export const found = (key: KeyObject, said: Partial<FoundKey> = {}): FoundKey => ({ where: 'the key', key, ...said });

/** Why the exchange refused, in its stable word, and the sentence. Whatever it let pass, or failed otherwise, is an error. */
export async function refused(work: () => unknown): Promise<{ readonly reason: unknown; readonly sentence: string }> {
  try {
    await work();
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'key_change_refused') {
      return { reason: error.details['reason'], sentence: error.message };
    }
    throw error;
  }
  throw new Error('nothing was refused');
}

export const reasonOf = async (work: () => unknown): Promise<unknown> => (await refused(work)).reason;
