import { Command, Option } from 'commander';
import { readKeptCheckpoints, type Checkpoint } from '../audit/checkpoint.js';
import { readHistory } from '../audit/read-history.js';
import { verifyHistory, type Verdict } from '../audit/verify-history.js';
import { readGivenFile } from './ask.js';
import { readerAs, withClient } from './client.js';
import { CommandError } from './command-error.js';
import { withDatabase } from './context.js';
import { print, printJson } from './output.js';

export const auditVerifyCommand = (): Command =>
  new Command('verify')
    .description(
      'is the history whole? Computes every hash, fold and signature here, believing nothing that the database computes',
    )
    .option(
      '--checkpoint <file>',
      'compare with checkpoints that were kept: an answer of GET /history/checkpoint, or JWS, one a line',
    )
    .addOption(
      new Option('--as <role>', 'whose rights: the auditor reads the views, app the tables themselves').choices([
        'auditor',
        'app',
      ]),
    )
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  curl -s https://login.example.com/history/checkpoint > /safe/checkpoint.json\n  keyturn audit verify --checkpoint /safe/checkpoint.json',
    )
    .action((options: { checkpoint?: string; as?: 'auditor' | 'app'; json?: boolean }) =>
      withDatabase(async ({ url, auditorUrl }) => {
        const kept = options.checkpoint === undefined ? [] : readKept(options.checkpoint);
        const role = options.as ?? (auditorUrl === undefined ? 'app' : 'auditor');
        const verdict = await withClient(readerAs(role, { url, auditorUrl }), 'keyturn audit', (client) =>
          readHistory(client, role === 'app' ? 'tables' : 'views', (stored) => verifyHistory(stored, kept)),
        );
        if (options.json) printJson(asData(verdict));
        if (verdict.misfit)
          throw new CommandError('history_broken', `The history does not hold: ${verdict.misfit.problem}.`);
        if (!options.json) print(inWords(verdict));
      }),
    );

function readKept(file: string): readonly Checkpoint[] {
  const kept = readKeptCheckpoints(readGivenFile(file).toString('utf8'));
  if (!kept)
    throw new CommandError(
      'checkpoint_unreadable',
      `${file} holds no checkpoint of a Keyturn history, or something beside.`,
    );
  return kept;
}

const asData = ({ checked, head, kept, misfit }: Verdict) => ({
  ok: misfit === undefined,
  checked: { ...checked, keptCheckpoints: kept },
  head: head ?? null,
  problem: misfit?.problem ?? null,
  seq: misfit?.seq ?? null,
  version: misfit?.version ?? null,
  userId: misfit?.userId ?? null,
});

function inWords({ checked, head, kept }: Verdict): string {
  const { events, keys, users, checkpoints } = checked;
  return [
    `The history is whole: ${events} events make ${keys} keys and ${users} users as they are; ${checkpoints} stored ${checkpoints === 1 ? 'checkpoint is' : 'checkpoints are'} good.`,
    head ? `It ends at row ${head.seq} with hash ${head.hash}.` : 'It is empty.',
    kept > 0
      ? `It holds what ${kept} kept ${kept === 1 ? 'checkpoint was' : 'checkpoints were'} signed over.`
      : 'Nothing kept was compared: whether the end was cut off, only a copy of a checkpoint can tell (--checkpoint FILE).',
  ].join('\n');
}
