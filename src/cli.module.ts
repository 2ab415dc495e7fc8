import { Module, type DynamicModule } from '@nestjs/common';
import { UserAdministrationModule } from './auth/administration/user-administration.module.js';
import { CommonModule } from './common/common.module.js';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { KeyAdministrationModule } from './keys/key-administration.module.js';
import { KeyCustodyModule } from './keys/key-custody.module.js';

/** The command line: the same use-cases as the server, without HTTP, scheduler, poll, and without key-encryption keys unless a command asks. */
@Module({})
export class CliModule {
  /** @param custody also all that touches private halves, and so wants the key-encryption keys */
  static register(config: Config, databaseUrl: string, custody = false): DynamicModule {
    return {
      module: CliModule,
      imports: [
        CommonModule,
        ConfigModule.register(config),
        DatabaseModule.register(databaseUrl, config.database, 'keyturn cli'),
        custody ? KeyCustodyModule : KeyAdministrationModule,
        UserAdministrationModule,
      ],
    };
  }
}
