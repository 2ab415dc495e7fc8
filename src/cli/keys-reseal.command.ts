import { Command } from 'commander';
import { KeyResealing } from '../keys/operations/key-resealing.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { withProgress } from './progress.js';

export const keysResealCommand = (): Command =>
  new Command('reseal')
    .description('wrap every private half under the first key of KEK_FILE, in one transaction')
    .option('--reason <text>', 'why; kept in the history')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nTo change the key-encryption key:\n  1. keyturn kek new, and put the line first in the KEK_FILE of every server; restart them one by one\n  2. keyturn keys reseal\n  3. take the old line out of KEK_FILE; restart the servers one by one\n\nExample:\n  keyturn keys reseal --reason "yearly"',
    )
    .action(({ reason, json }: { reason?: string; json?: boolean }) =>
      withContext(
        async (context) => {
          const outcome = await withProgress('sealing again', { json }, (done) =>
            context.get(KeyResealing).reseal({ reason }, done),
          );
          if (json) return printJson(outcome);
          return print(
            outcome.resealed === 0
              ? `Everything is sealed under ${outcome.kekId} already.`
              : `${outcome.resealed} secrets are sealed under ${outcome.kekId} now.`,
          );
        },
        { custody: true },
      ),
    );
