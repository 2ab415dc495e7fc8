import type { KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { privateBytes, privateKeyFrom, type KeyMaterial } from '../key-material.js';
import type { SigningKey } from '../signing-key.js';
import { CannotOpen, KeyEncryptionKeys, type Sealed } from './key-encryption-keys.js';

/** The row that a private half belongs to. Moved beside another, it does not open. */
export type Owner = Pick<SigningKey, 'kid' | 'version' | 'algorithm'>;

const binding = ({ kid, version, algorithm }: { kid: string; version: number; algorithm: string }): string =>
  `${kid}|${version}|${algorithm}`;

/** Seals private halves for the rows they lie beside, and opens them. */
@Injectable()
export class KeySealing {
  constructor(private readonly keks: KeyEncryptionKeys) {}

  seal(material: Pick<KeyMaterial, 'privateKey'>, owner: Owner): Sealed {
    return this.keks.seal(privateBytes(material), binding(owner));
  }

  /** @throws CannotOpen */
  open(owner: Owner, sealed: Sealed): KeyObject {
    const bytes = this.keks.open(sealed, binding(owner));
    try {
      return privateKeyFrom(owner.algorithm, bytes);
    } catch (error) {
      throw new CannotOpen(`sealed under ${sealed.kekId}, but what was sealed is no private key`, { cause: error });
    }
  }

  /** Does what lies beside this row open? @throws CannotOpen */
  prove({ kid, version, algorithm }: { kid: string; version: number; algorithm: string }, sealed: Sealed): void {
    this.keks.open(sealed, binding({ kid, version, algorithm })).fill(0);
  }

  /** The same secret under the current key-encryption key. @throws CannotOpen */
  reseal(owner: Owner, sealed: Sealed): Sealed {
    return this.keks.seal(this.keks.open(sealed, binding(owner)), binding(owner));
  }

  /** Ids of the key-encryption keys held here; the first is current. */
  get kekIds(): readonly string[] {
    return this.keks.ids;
  }
}
