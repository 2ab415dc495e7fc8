import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { JwksController } from './http/jwks.controller.js';
import { KeyCustodyModule } from './key-custody.module.js';
import { KeyTick } from './upkeep/key-tick.js';
import { KeyUpkeep } from './upkeep/key-upkeep.js';
import { KeysController } from './http/keys.controller.js';
import { Replica } from './replicas/replica.js';
import { KeyRefresh } from './ring/key-refresh.js';
import { KeyRing } from './ring/key-ring.js';
import { KeyVault } from './vault/key-vault.js';
import { LocalKeyVault } from './vault/local-key-vault.js';

/** A server's keys: the ring in memory, the vault that signs, the upkeep that rotates, and the public keys for others. */
@Module({
  imports: [KeyCustodyModule, JwtModule.register({})],
  controllers: [JwksController, KeysController],
  providers: [
    KeyRing,
    LocalKeyVault,
    { provide: KeyVault, useExisting: LocalKeyVault },
    KeyRefresh,
    KeyTick,
    KeyUpkeep,
    Replica,
  ],
  exports: [KeyCustodyModule, KeyRing, KeyRefresh, KeyVault, LocalKeyVault],
})
export class KeysModule {}
