import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { KeyAdmission } from './operations/key-admission.js';
import { KeyRotation } from './operations/key-rotation.js';
import { Reconciliation } from './operations/reconciliation.js';
import { Replicas } from './replicas/replicas.js';
import { SigningKeyRow } from './store/signing-key.entity.js';
import { SigningKeyStore } from './store/signing-key-store.js';

/** Looking at keys, moving their timestamps and taking in public ones: all that needs no private half and no key-encryption key. */
@Module({
  imports: [TypeOrmModule.forFeature([SigningKeyRow])],
  providers: [SigningKeyStore, Replicas, KeyRotation, KeyAdmission, Reconciliation],
  exports: [SigningKeyStore, Replicas, KeyRotation, KeyAdmission, Reconciliation],
})
export class KeyAdministrationModule {}
