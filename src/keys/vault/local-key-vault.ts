import type { KeyObject } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { KeyturnError } from '../../common/errors.js';
import type { RingKey } from '../ring/key-ring.js';
import type { KeySet } from '../store/signing-key-store.js';
import type { Seal } from '../store/signing-key-writes.js';
import { CannotOpen } from './key-encryption-keys.js';
import { KeySealing } from './key-sealing.js';
import { KeyVault, type Claims } from './key-vault.js';

/** Opens the private halves that lie sealed in the database, and signs in this process. */
@Injectable()
export class LocalKeyVault extends KeyVault {
  private readonly logger = new Logger('KeyVault');
  private opened: ReadonlyMap<number, KeyObject> = new Map();
  /** What each of those was opened from: another database, restored under a running server, has other halves of the same version. */
  private sources: ReadonlyMap<number, Buffer> = new Map();
  private troubles: ReadonlyMap<number, string> = new Map();

  constructor(
    private readonly sealing: KeySealing,
    private readonly jwt: JwtService,
  ) {
    super();
  }

  /** Opens what is new; what cannot be opened is remembered, said once, and does not sign. */
  load({ keys }: KeySet): void {
    const opened = new Map<number, KeyObject>();
    const sources = new Map<number, Buffer>();
    const troubles = new Map<number, string>();
    for (const { key, sealed } of keys) {
      if (!sealed || key.revokedAt !== null) continue;
      try {
        const known = this.sources.get(key.version)?.equals(sealed.sealed) && this.opened.get(key.version);
        opened.set(key.version, known || this.sealing.open(key, sealed));
        sources.set(key.version, sealed.sealed);
      } catch (error) {
        if (!(error instanceof CannotOpen)) throw error;
        troubles.set(key.version, error.message);
        if (this.troubles.get(key.version) !== error.message)
          this.logger.error(`private half of ${key.kid}: ${error.message}`);
      }
    }
    this.opened = opened;
    this.sources = sources;
    this.troubles = troubles;
  }

  readonly seal: Seal = (material, owner) => this.sealing.seal(material, owner);

  opens(version: number): boolean {
    return this.opened.has(version);
  }

  get openedVersions(): readonly number[] {
    return [...this.opened.keys()];
  }

  /** Why private halves cannot be opened, by version. Empty when all is well. */
  get unreadable(): ReadonlyMap<number, string> {
    return this.troubles;
  }

  get kekIds(): readonly string[] {
    return this.sealing.kekIds;
  }

  /** The secret of an HMAC key, which also verifies. */
  secretOf(version: number): KeyObject | undefined {
    const key = this.opened.get(version);
    return key?.type === 'secret' ? key : undefined;
  }

  canSign({ version }: RingKey): boolean {
    return this.opened.has(version);
  }

  sign(signer: RingKey, claims: Claims, typ: string): Promise<string> {
    const privateKey = this.opened.get(signer.version);
    if (!privateKey) {
      const why = `${signer.kid} cannot be used here: ${signer.damage ?? 'its private half cannot be opened'}`;
      return Promise.reject(
        new KeyturnError('signing_unavailable', `No token can be signed at the moment: ${why}.`, { retryAfter: 5 }),
      );
    }
    return this.jwt.signAsync(
      { ...claims },
      {
        algorithm: signer.algorithm,
        keyid: signer.kid,
        header: { alg: signer.algorithm, typ },
        // A KeyObject, never PEM text, which would be parsed again for every token.
        privateKey,
      },
    );
  }
}
