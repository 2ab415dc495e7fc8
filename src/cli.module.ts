import { Module, type DynamicModule } from '@nestjs/common';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { KeyAdministrationModule } from './keys/key-administration.module.js';
import { UsersModule } from './users/users.module.js';

/** The command line: the same use-cases as the server, without HTTP, scheduler, poll, or key-encryption key. */
@Module({})
export class CliModule {
  static register(config: Config, databaseUrl: string): DynamicModule {
    return {
      module: CliModule,
      imports: [
        ConfigModule.register(config),
        DatabaseModule.register(databaseUrl, config.database, 'keyturn cli'),
        KeyAdministrationModule,
        UsersModule,
      ],
    };
  }
}
