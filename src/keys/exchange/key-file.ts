import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { KeyturnError } from '../../common/errors.js';
import { refusal } from './refusal.js';

/** A list of a hundred RSA keys is a tenth of it. */
const MAX_BYTES = 1_048_576;

/** A file from outside, read once: what was judged is what is used. */
export interface KeyFile {
  readonly path: string;
  readonly text: string;
  /** Permission bits; undefined where the system has none. */
  readonly mode: number | undefined;
}

/** @throws KeyturnError `key_change_refused` */
export function readKeyFile(path: string): KeyFile {
  const { bytes, mode } = readBounded(path);
  // An ASN.1 sequence; that of a key has a zero byte near its beginning.
  if (bytes[0] === 0x30 && bytes.includes(0)) {
    throw refusal(
      'unknown_format',
      `${path} is DER, not PEM. Convert it with: openssl pkey -inform DER -in ${path} -out key.pem (for a public key add -pubin)`,
    );
  }
  if (!isUtf8(bytes)) throw refusal('unknown_format', `${path} is not text: neither PEM nor JSON.`);
  return { path, text: bytes.toString('utf8').replace(/^\uFEFF/, ''), mode };
}

/** What is secret must be readable by its owner alone. @throws KeyturnError `key_change_refused` */
export function refuseIfOthersMayRead({ path, mode }: KeyFile): void {
  if (mode === undefined || (mode & 0o077) === 0) return;
  throw refusal(
    'others_may_read',
    `${path} holds a secret and may be read by others (mode ${(mode & 0o777).toString(8)}): whoever has read it can sign tokens. If nobody has, type: chmod 600 ${path}`,
  );
}

function readBounded(path: string): { bytes: Buffer; mode: number | undefined } {
  let handle: number | undefined;
  try {
    handle = openSync(path, 'r');
    const { mode } = fstatSync(handle);
    const bytes = Buffer.alloc(MAX_BYTES + 1);
    let filled = 0;
    for (let got = -1; got !== 0 && filled < bytes.length; filled += got) {
      got = readSync(handle, bytes, filled, bytes.length - filled, null);
    }
    if (filled > MAX_BYTES) throw refusal('file_too_large', `${path} is larger than a mebibyte: that is no key file.`);
    return { bytes: bytes.subarray(0, filled), mode: process.platform === 'win32' ? undefined : mode };
  } catch (error) {
    if (error instanceof KeyturnError) throw error;
    throw refusal('file_unreadable', `${path} cannot be read: ${code(error)}`);
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

/** `ENOENT`, `EISDIR`, `EACCES`. */
const code = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error';
