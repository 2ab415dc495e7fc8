import { readFileSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { KeyBackup } from '../keys/backup/key-backup.js';
import { confirm } from './ask.js';
import { CommandError } from './command-error.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { withProgress } from './progress.js';

export const keysBackupCommand = (): Command =>
  new Command('backup')
    .description(
      "keys, their sealed private halves and the whole history as one encrypted file; users and sessions are pg_dump's",
    )
    .argument('<file>', 'a new file; an existing one is never overwritten')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExample:\n  keyturn keys backup keys-2026-11-23.backup\n\nThe file opens with the key-encryption keys of KEK_FILE. Keep those elsewhere.',
    )
    .action((path: string, { json }: { json?: boolean }) =>
      withContext(
        async (context) => {
          const { file, contents } = await withProgress('reading keys and history', { json }, () =>
            context.get(KeyBackup).take(),
          );
          writeNew(path, file);
          if (json) return printJson(contents);
          return print(
            `${path} holds ${contents.keys} keys, ${contents.privateHalves} private halves and ${contents.events} events, as of ${contents.takenAt}.`,
          );
        },
        { custody: true },
      ),
    );

export const keysRestoreCommand = (): Command =>
  new Command('restore')
    .description(
      'write a backup into a database that has no keys, users or history yet; only what verifies whole is kept',
    )
    .argument('<file>', 'made by keys backup')
    .option('--keep-keys', 'let restored keys live: only when nothing was revoked since the backup')
    .option('--yes', 'do not ask')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nWithout --keep-keys every restored key is revoked, since whatever was revoked after the backup would revive; the first server that\nstarts then makes a new one.\n\nExample:\n  keyturn migrate && keyturn keys restore keys-2026-11-23.backup',
    )
    .action(
      (path: string, { keepKeys = false, yes = false, json }: { keepKeys?: boolean; yes?: boolean; json?: boolean }) =>
        withContext(
          async (context, { migrationUrl }) => {
            const file = readFile(path);
            await confirm(
              keepKeys
                ? 'Keys that were revoked after this backup was taken will live again.'
                : 'Every restored key will be revoked: tokens of them are refused.',
              yes,
            );
            const contents = await withProgress('writing and verifying', { json }, () =>
              context.get(KeyBackup).restore(file, migrationUrl, keepKeys),
            );
            if (json) return printJson(contents);
            return print(
              `Restored ${contents.keys} keys and ${contents.events} events, as of ${contents.takenAt}; the history verifies. ${keepKeys ? 'Keys live on.' : 'Every key that lived is revoked.'}`,
            );
          },
          { custody: true },
        ),
    );

function writeNew(path: string, file: Buffer): void {
  try {
    writeFileSync(path, file, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new CommandError(
      'file_unwritable',
      `${path} cannot be written: ${error instanceof Error ? error.message : 'unknown error'}`,
    );
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CommandError(
      'file_unreadable',
      `${path} cannot be read: ${error instanceof Error ? error.message : 'unknown error'}`,
    );
  }
}
