import { Command } from 'commander';
import { Reconciliation } from '../keys/operations/reconciliation.js';
import { confirm } from './ask.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';

export const keysReconcileCommand = (): Command =>
  new Command('reconcile')
    .description(
      'after an older copy of the database was restored: revoke every key, end every session, void every code',
    )
    .option('--keep', 'only say in history that it was restored: when nothing was lost, as in a planned move')
    .option('--reason <text>', 'why; kept in the history')
    .option('--yes', 'do not ask')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nA server does this by itself when it finds a restored dump, or a history that is not the one it knew. A physical copy restored while\nno server ran is found by nobody: then type this before the first one starts.\n\nExamples:\n  keyturn keys reconcile --reason "restored the base backup of Sunday"\n  keyturn keys reconcile --keep --reason "moved to db2 with every server stopped"',
    )
    .action(
      ({
        keep = false,
        reason,
        yes = false,
        json,
      }: {
        keep?: boolean;
        reason?: string;
        yes?: boolean;
        json?: boolean;
      }) =>
        withContext(async (context) => {
          await confirm(
            keep
              ? 'Whatever was revoked or ended after the copy was made lives again.'
              : 'Everybody has to log in again, and every token there is will be refused.',
            yes,
          );
          const keys = await context.get(Reconciliation).run({ reason }, keep);
          if (json) return printJson({ keys });
          return print(
            keep
              ? 'Recorded. Keys and sessions live on.'
              : `${keys} keys revoked, every session ended, every code voided. A running server makes new keys within a second, otherwise the next one that starts.`,
          );
        }),
    );
