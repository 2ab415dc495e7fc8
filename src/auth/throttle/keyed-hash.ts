import { createHmac, hkdfSync } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { RefreshSecret } from '../session/refresh-secret.js';

/** HMAC-SHA-256 under a secret of every server's, drawn from the one that is sealed in the database (RFC 5869). */
@Injectable()
export class KeyedHash {
  private key: Buffer | undefined;

  constructor(private readonly secret: RefreshSecret) {}

  /** 32 bytes. @throws KeyturnError `signing_unavailable`, `database_unavailable` */
  async of(...parts: readonly string[]): Promise<Buffer> {
    this.key ??= Buffer.from(hkdfSync('sha256', await this.secret.get(), '', 'keyturn throttling', 32));
    return createHmac('sha256', this.key).update(JSON.stringify(parts)).digest();
  }
}
