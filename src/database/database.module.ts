import { Global, Module, type DynamicModule } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Config } from '../config/config.js';
import { DatabaseClock } from './database-clock.js';
import { serverDataSourceOptions } from './data-source.js';
import { News } from './news.js';

/** The server's connections, the database's clock, and its news. */
@Global()
@Module({})
export class DatabaseModule {
  /** @param url connection string of the role the process serves as */
  static register(url: string, database: Config['database'], applicationName: string): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRoot({
          ...serverDataSourceOptions(url, database, applicationName),
          autoLoadEntities: true,
          // The database was reached a moment ago; whoever starts us starts us again.
          retryAttempts: 0,
        }),
      ],
      providers: [DatabaseClock, News],
      exports: [DatabaseClock, News],
    };
  }
}
