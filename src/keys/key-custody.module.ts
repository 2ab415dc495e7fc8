import { Module } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { KeyBackup } from './backup/key-backup.js';
import { KeyAdministrationModule } from './key-administration.module.js';
import { GENERATE_KEY, generateKey } from './key-material.js';
import { KeyReplacement } from './operations/key-replacement.js';
import { KeyResealing } from './operations/key-resealing.js';
import { KeyEncryptionKeys } from './vault/key-encryption-keys.js';
import { KeySealing } from './vault/key-sealing.js';
import { loadKeyEncryptionKeys } from './vault/load-key-encryption-keys.js';

/** All that touches private halves, and so needs the key-encryption keys: making, sealing, renewing and importing. */
@Module({
  imports: [KeyAdministrationModule],
  providers: [
    { provide: KeyEncryptionKeys, inject: [CONFIG], useFactory: (config: Config) => loadKeyEncryptionKeys(config) },
    { provide: GENERATE_KEY, useValue: generateKey },
    KeySealing,
    KeyReplacement,
    KeyResealing,
    KeyBackup,
  ],
  exports: [
    KeyAdministrationModule,
    KeyEncryptionKeys,
    GENERATE_KEY,
    KeySealing,
    KeyReplacement,
    KeyResealing,
    KeyBackup,
  ],
})
export class KeyCustodyModule {}
