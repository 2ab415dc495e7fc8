import type { INestApplicationContext } from '@nestjs/common';
import { loadConfig, type Environment } from '../config/load-config.js';
import { openDatabase, type OpenDatabase } from '../database/open-database.js';

/** The environment of the command, for those who ask how things would be under another one. */
export const environment: Environment = process.env;

/** Runs with the configured database: joins a running embedded one, or starts it for the length of the command. */
export async function withDatabase<T>(
  work: (database: OpenDatabase) => Promise<T>,
  options: { runMigrations?: boolean; custody?: boolean } = {},
): Promise<T> {
  const config = loadConfig(environment, { custody: options.custody ?? false });
  const embedded = config.database.url === undefined;
  const database = await openDatabase(config, {
    runMigrations: options.runMigrations ?? embedded,
    log: (line) => process.stderr.write(`${line}\n`),
  });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Runs with the providers of the command line. `custody`: the command makes, seals or opens private halves. */
export const withContext = <T>(
  work: (context: INestApplicationContext, database: OpenDatabase) => Promise<T>,
  { custody = false } = {},
): Promise<T> =>
  withDatabase(
    async (database) => {
      // Not for those who only want to read --help, or mistyped.
      const [{ NestFactory }, { CliModule }] = await Promise.all([import('@nestjs/core'), import('../cli.module.js')]);
      const module = CliModule.register(loadConfig(environment, { custody }), database.url, custody);
      const context = await NestFactory.createApplicationContext(module, {
        logger: ['error', 'fatal'],
        abortOnError: false,
      });
      try {
        return await work(context, database);
      } finally {
        await context.close();
      }
    },
    { custody },
  );
