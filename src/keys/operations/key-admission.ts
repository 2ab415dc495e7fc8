import { Injectable } from '@nestjs/common';
import type { Actor } from '../../database/change.js';
import { SigningKeyStore } from '../store/signing-key-store.js';
import type { VerifyOnlyKey } from '../store/signing-key-writes.js';

/** Takes in public keys from outside. They have no private half, so nothing here opens or seals one. */
@Injectable()
export class KeyAdmission {
  constructor(private readonly store: SigningKeyStore) {}

  /** Admits public keys that verify and never sign. @throws KeyturnError `key_change_refused`, `database_unavailable` */
  async admit(actor: Actor, keys: readonly VerifyOnlyKey[]): Promise<void> {
    await this.store.change(actor, () => ({ changes: { admit: keys }, result: {} }));
  }
}
