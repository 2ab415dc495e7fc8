import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { KeyAdmission } from './key-admission.js';
import { KeyRotation } from './key-rotation.js';
import { Reconciliation } from './reconciliation.js';
import { Replicas } from './replicas.js';
import { SigningKeyRow } from './signing-key.entity.js';
import { SigningKeyStore } from './signing-key-store.js';

/** Looking at keys, moving their timestamps and taking in public ones: all that needs no private half and no key-encryption key. */
@Module({
  imports: [TypeOrmModule.forFeature([SigningKeyRow])],
  providers: [SigningKeyStore, Replicas, KeyRotation, KeyAdmission, Reconciliation],
  exports: [SigningKeyStore, Replicas, KeyRotation, KeyAdmission, Reconciliation],
})
export class KeyAdministrationModule {}
