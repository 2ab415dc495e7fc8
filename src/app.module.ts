import { Module, type DynamicModule } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { CommonModule } from './common/common.module.js';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { ConsoleModule } from './console/console.module.js';
import { DatabaseModule } from './database/database.module.js';
import { KeysModule } from './keys/keys.module.js';
import { OpsModule } from './ops/ops.module.js';
import { UsersModule } from './users/users.module.js';

/** The server. A feature module of yours goes into `imports`, beside the others. */
@Module({})
export class AppModule {
  /** @param databaseUrl connection string of the role that the server serves as */
  static register(config: Config, databaseUrl: string): DynamicModule {
    return {
      module: AppModule,
      imports: [
        CommonModule,
        ConfigModule.register(config),
        DatabaseModule.register(databaseUrl, config.database, 'keyturn server'),
        ScheduleModule.forRoot(),
        KeysModule,
        UsersModule,
        AuthModule,
        AuditModule,
        ConsoleModule,
        OpsModule,
      ],
    };
  }
}
