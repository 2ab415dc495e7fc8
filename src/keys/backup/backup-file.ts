import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import { KeyturnError } from '../../common/errors.js';
import { CannotOpen, KeyEncryptionKeys } from '../vault/key-encryption-keys.js';

const HEADER = /^keyturn-backup 1 ([A-Za-z0-9_.-]{1,64})\n/;
const LONGEST_HEADER = 128;
const BINDS = 'keyturn-backup 1';

const json = z.record(z.string(), z.unknown());

/** Keys, their sealed halves and the whole history, as rows. Users and sessions are the database's own backup. */
export const bundleSchema = z.strictObject({
  taken_at: z.iso.datetime(),
  keys: z.array(json),
  secrets: z.array(z.strictObject({ version: z.int(), kek_id: z.string(), sealed: z.base64() })),
  history: z.array(z.strictObject({ seq: z.int(), prev_hash: z.string(), entry: z.string(), hash: z.string() })),
});
export type Bundle = z.output<typeof bundleSchema>;

/** A header line that names the key-encryption key, then the bundle: compressed, and sealed under that key (AES-256-GCM). */
export function writeBackup(bundle: Bundle, keks: KeyEncryptionKeys): Buffer {
  const { kekId, sealed } = keks.seal(gzipSync(JSON.stringify(bundle)), BINDS);
  return Buffer.concat([Buffer.from(`keyturn-backup 1 ${kekId}\n`), sealed]);
}

/** @throws KeyturnError `key_change_refused` when it is none, was damaged, or its key-encryption key is not here */
export function readBackup(file: Buffer, keks: KeyEncryptionKeys): Bundle {
  const [header, kekId] = HEADER.exec(file.toString('latin1', 0, LONGEST_HEADER)) ?? [];
  if (header === undefined || kekId === undefined)
    throw new KeyturnError('key_change_refused', 'This file is not a backup of Keyturn.');
  try {
    const opened = keks.open({ kekId, sealed: file.subarray(header.length) }, BINDS);
    return bundleSchema.parse(JSON.parse(gunzipSync(opened).toString('utf8')));
  } catch (error) {
    if (!(error instanceof CannotOpen)) throw error;
    throw new KeyturnError(
      'key_change_refused',
      `The backup cannot be opened: ${error.message}.`,
      {},
      { cause: error },
    );
  }
}
