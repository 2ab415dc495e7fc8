import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CliModule } from '../cli.module.js';
import { loadConfig } from '../config/load-config.js';
import { openDatabase, type OpenDatabase } from '../database/open-database.js';

/** Runs with the configured database: joins a running embedded one, or starts it for the length of the command. */
export async function withDatabase<T>(
  work: (database: OpenDatabase) => Promise<T>,
  options: { runMigrations?: boolean } = {},
): Promise<T> {
  const config = loadConfig(process.env);
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

/** Runs with the providers of the command line. */
export const withContext = <T>(work: (context: INestApplicationContext) => Promise<T>): Promise<T> =>
  withDatabase(async (database) => {
    const config = loadConfig(process.env);
    const context = await NestFactory.createApplicationContext(CliModule.register(config, database.url), {
      logger: ['error', 'fatal'],
      abortOnError: false,
    });
    try {
      return await work(context);
    } finally {
      await context.close();
    }
  });
