import { z } from 'zod';
import type { FoundKey } from './found-key.js';
import { readJwk, readJwks } from './read-jwk.js';
import { readKeyList } from './read-key-list.js';
import { readPem } from './read-pem.js';
import { refusal } from './refusal.js';

/** Far more than a ring has; each one is a row that every server keeps in memory. */
const MAX_KEYS = 100;

const jwksSchema = z.looseObject({ keys: z.array(z.unknown()) });

/**
 * The keys of a file's text, whatever its format: PEM (PKCS#1, PKCS#8, SEC1, SPKI), a JWK, a JWKS, or a `keys.json` list.
 * @param passphrase of an encrypted private half
 * @throws KeyturnError `key_change_refused`
 */
export function readKeys(text: string, passphrase?: string): readonly FoundKey[] {
  const [first] = text.trimStart();
  if (first === '{' || first === '[') return readJson(text);
  if (text.includes('-----BEGIN ')) return [readPem(text, 'the key', passphrase)];
  throw refusal('unknown_format', 'This is neither PEM nor JSON: a key comes as PEM, JWK, JWKS or a keys.json list.');
}

function readJson(text: string): readonly FoundKey[] {
  const value = parseJson(text);
  if (Array.isArray(value)) return readKeyList(bounded(value));
  const set = jwksSchema.safeParse(value);
  if (set.success) return readJwks(bounded(set.data.keys));
  if (typeof value === 'object' && value !== null && 'kty' in value) return [readJwk(value)];
  throw refusal('unknown_format', 'This JSON is neither a JWK (kty), nor a JWKS (keys), nor a keys.json list.');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Its message quotes the text, which may be a private key.
    throw refusal('unknown_format', 'This begins like JSON and is none: it cannot be parsed.');
  }
}

function bounded(values: readonly unknown[]): readonly unknown[] {
  if (values.length === 0) throw refusal('no_key', 'The list holds no key.');
  if (values.length <= MAX_KEYS) return values;
  throw refusal('several_keys', `The list holds ${values.length} keys; at most ${MAX_KEYS} are taken at once.`);
}
