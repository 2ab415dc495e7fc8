import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { KeyRotation } from './key-rotation.js';
import { Reconciliation } from './reconciliation.js';
import { Replicas } from './replicas.js';
import { SigningKeyRow } from './signing-key.entity.js';
import { SigningKeyStore } from './signing-key-store.js';

/** Looking at keys and moving their timestamps: all that needs no private half and no key-encryption key. */
@Module({
  imports: [TypeOrmModule.forFeature([SigningKeyRow])],
  providers: [SigningKeyStore, Replicas, KeyRotation, Reconciliation],
  exports: [SigningKeyStore, Replicas, KeyRotation, Reconciliation],
})
export class KeyAdministrationModule {}
