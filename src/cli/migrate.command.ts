import { Command } from 'commander';
import { withDatabase } from './context.js';
import { print, printJson } from './output.js';

export const migrateCommand = (): Command =>
  new Command('migrate')
    .description('apply pending migrations; safe to run by many at once')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  MIGRATION_DATABASE_URL=postgres://keyturn_migrator@db/keyturn keyturn migrate')
    .action(({ json }: { json?: boolean }) =>
      withDatabase(
        async ({ description, migrated }) => {
          if (json)
            return printJson({ database: description, known: migrated?.known ?? 0, applied: migrated?.applied ?? [] });
          print(description);
          for (const name of migrated?.applied ?? []) print(`applied ${name}`);
          return print(`${migrated?.known ?? 0} migrations, ${migrated?.applied.length ?? 0} applied now`);
        },
        { runMigrations: true },
      ),
    );
