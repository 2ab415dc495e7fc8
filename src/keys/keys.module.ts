import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { CONFIG, type Config } from '../config/config.js';
import { JwksController } from './jwks.controller.js';
import { KeyAdministrationModule } from './key-administration.module.js';
import { defaultGenerateKey, KeyTick } from './key-tick.js';
import { KeyUpkeep } from './key-upkeep.js';
import { KeysController } from './keys.controller.js';
import { Replica } from './replicas.js';
import { KeyRefresh } from './ring/key-refresh.js';
import { KeyRing } from './ring/key-ring.js';
import { KeyEncryptionKeys } from './vault/key-encryption-keys.js';
import { KeyVault } from './vault/key-vault.js';
import { loadKeyEncryptionKeys } from './vault/load-key-encryption-keys.js';
import { LocalKeyVault } from './vault/local-key-vault.js';

/** A server's keys: the ring in memory, the vault that signs, the upkeep that rotates, and the public keys for others. */
@Module({
  imports: [KeyAdministrationModule, JwtModule.register({})],
  controllers: [JwksController, KeysController],
  providers: [
    { provide: KeyEncryptionKeys, inject: [CONFIG], useFactory: (config: Config) => loadKeyEncryptionKeys(config) },
    defaultGenerateKey,
    KeyRing,
    LocalKeyVault,
    { provide: KeyVault, useExisting: LocalKeyVault },
    KeyRefresh,
    KeyTick,
    KeyUpkeep,
    Replica,
  ],
  exports: [KeyRing, KeyRefresh, KeyVault, KeyEncryptionKeys, LocalKeyVault],
})
export class KeysModule {}
