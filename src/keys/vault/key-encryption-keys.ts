import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Something sealed, and the id of the key-encryption key that sealed it. */
export interface Sealed {
  readonly kekId: string;
  /** 12 bytes nonce, ciphertext, 16 bytes tag (AES-256-GCM, NIST SP 800-38D). */
  readonly sealed: Buffer;
}

/** The private half cannot be opened: its key-encryption key is not here, or what is sealed was damaged or swapped. */
export class CannotOpen extends Error {
  override readonly name = 'CannotOpen';
}

const NONCE = 12;
const TAG = 16;
const KEK_BYTES = 32;
const LINE = /^([A-Za-z0-9_.-]{1,64}):([A-Za-z0-9+/]{43}=)$/;

/** Key-encryption keys by id. The first is current: it seals. All of them open. */
export class KeyEncryptionKeys {
  private constructor(private readonly keys: ReadonlyMap<string, Buffer>) {}

  /**
   * Reads `id:base64` lines, 32 bytes each. Lines that are empty or begin with # are passed over; commas part lines too.
   * @throws Error that says what is wrong and shows no key.
   */
  static parse(text: string): KeyEncryptionKeys {
    const keys = new Map<string, Buffer>();
    const lines = text.split(/[\n,]/).map((line) => line.trim());
    for (const [index, line] of lines.entries()) {
      if (line === '' || line.startsWith('#')) continue;
      const [, id, base64] = LINE.exec(line) ?? [];
      const key = Buffer.from(base64 ?? '', 'base64');
      if (id === undefined || key.length !== KEK_BYTES)
        throw new Error(`line ${index + 1} is not id:base64 with ${KEK_BYTES} bytes`);
      if (keys.has(id)) throw new Error(`line ${index + 1} repeats the id ${id}`);
      keys.set(id, key);
    }
    if (keys.size === 0) throw new Error('it holds no key');
    return new KeyEncryptionKeys(keys);
  }

  /** A new key as a line for a KEK_FILE. The id says the day it was made. */
  static newLine(today = new Date()): string {
    return `kek-${today.toISOString().slice(0, 10)}-${randomBytes(3).toString('hex')}:${randomBytes(KEK_BYTES).toString('base64')}`;
  }

  get currentId(): string {
    return this.ids[0] ?? '';
  }

  get ids(): readonly string[] {
    return [...this.keys.keys()];
  }

  /** @param binds what the secret belongs to: the same words open it, others do not. */
  seal(secret: Buffer, binds: string): Sealed {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', this.key(this.currentId), nonce);
    cipher.setAAD(Buffer.from(binds));
    const sealed = Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
    return { kekId: this.currentId, sealed };
  }

  /** @throws CannotOpen */
  open({ kekId, sealed }: Sealed, binds: string): Buffer {
    const key = this.key(kekId);
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE), { authTagLength: TAG });
      decipher.setAAD(Buffer.from(binds));
      decipher.setAuthTag(sealed.subarray(NONCE).subarray(-TAG));
      return Buffer.concat([decipher.update(sealed.subarray(NONCE, -TAG)), decipher.final()]);
    } catch (error) {
      throw new CannotOpen(
        `sealed under ${kekId}, but key-encryption key ${kekId} does not open it: not the same key, or the row was damaged or swapped`,
        { cause: error },
      );
    }
  }

  private key(id: string): Buffer {
    const key = this.keys.get(id);
    if (!key) throw new CannotOpen(`sealed under ${id}, which KEK_FILE does not hold`);
    return key;
  }
}
