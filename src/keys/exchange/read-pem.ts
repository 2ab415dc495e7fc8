import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { FoundKey } from './found-key.js';
import { refusal } from './refusal.js';

/** RFC 7468, and what stands between the lines of RFC 1421 headers. Text outside of blocks is passed over. */
const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----\s([\s\S]*?)-----END \1-----/g;
const PRIVATE = new Set(['PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'RSA PRIVATE KEY', 'EC PRIVATE KEY']);
const PUBLIC = new Set(['PUBLIC KEY', 'RSA PUBLIC KEY']);
/** openssl writes it before an EC private key, which names its curve itself. */
const PASSED_OVER = new Set(['EC PARAMETERS']);
/** What else comes as PEM, and what to do about it. */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ['CERTIFICATE', 'a certificate. Take its public key out with: openssl x509 -pubkey -noout -in FILE'],
  ['OPENSSH PRIVATE KEY', "in OpenSSH's own format. Convert a copy with: ssh-keygen -p -m PKCS8 -f COPY"],
  ['DSA PRIVATE KEY', 'a DSA key, which signs no tokens'],
]);

/** Does the PEM text hold a private half? */
export const holdsPrivatePem = (text: string): boolean => /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----/.test(text);

/** Is there a private half that wants a passphrase: PKCS#8, or PKCS#1 and SEC1 encrypted the old way? */
export const isEncryptedPem = (text: string): boolean =>
  /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);

/**
 * The one key of a PEM text: PKCS#1, PKCS#8, SEC1, or SPKI.
 * @throws KeyturnError `key_change_refused`
 */
export function readPem(text: string, where: string, passphrase?: string): FoundKey {
  const blocks = [...text.matchAll(BLOCK)].flatMap(([pem, label = '']) =>
    PASSED_OVER.has(label) ? [] : [{ pem, label }],
  );
  const [block] = blocks;
  if (!block) throw refusal('damaged', `${where}: the PEM block is cut off or empty.`);
  if (blocks.length > 1) {
    throw refusal(
      'several_keys',
      `${where}: ${blocks.length} PEM blocks (${blocks.map(({ label }) => label).join(', ')}). Put the one that is meant into a file of its own.`,
    );
  }
  return { where, key: keyOf(block, where, passphrase) };
}

function keyOf({ pem, label }: { pem: string; label: string }, where: string, passphrase?: string): KeyObject {
  if (PUBLIC.has(label)) return decoded(() => createPublicKey({ key: pem, format: 'pem' }), label, where);
  if (!PRIVATE.has(label)) {
    throw refusal('unknown_format', `${where} is ${ADVICE.get(label) ?? `a PEM block ${label}, which is no key`}.`);
  }
  if (!isEncryptedPem(pem)) return decoded(() => createPrivateKey({ key: pem, format: 'pem' }), label, where);
  if (passphrase === undefined) {
    throw refusal(
      'passphrase_missing',
      `${where} is encrypted. Give its passphrase with --passphrase-file, or type it when asked.`,
    );
  }
  try {
    return createPrivateKey({ key: pem, format: 'pem', passphrase });
  } catch {
    throw refusal('wrong_passphrase', `${where} does not open with this passphrase, or it is damaged.`);
  }
}

/** OpenSSL's own words say little to a person, and nothing of them is kept. */
function decoded(decode: () => KeyObject, label: string, where: string): KeyObject {
  try {
    return decode();
  } catch {
    throw refusal('damaged', `${where} says ${label}, but cannot be read as one: damaged, or of an unknown kind.`);
  }
}
