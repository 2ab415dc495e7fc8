import { Command } from 'commander';
import { withDatabase } from './context.js';
import { print } from './output.js';

export const migrateCommand = (): Command =>
  new Command('migrate').description('apply pending migrations; safe to run by many at once').action(() =>
    withDatabase(
      async ({ description, migrated }) => {
        print(description);
        for (const name of migrated?.applied ?? []) print(`applied ${name}`);
        print(`${migrated?.known ?? 0} migrations, ${migrated?.applied.length ?? 0} applied now`);
      },
      { runMigrations: true },
    ),
  );
