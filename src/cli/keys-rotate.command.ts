import { Command, InvalidArgumentError } from 'commander';
import { KeyRotation } from '../keys/operations/key-rotation.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { moment } from './relative-time.js';

const version = (text: string): number => {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('A version is a number such as 7.');
  return Number(text);
};

export const keysRotateCommand = (): Command =>
  new Command('rotate')
    .description('the standby takes over now; a running server publishes the next one')
    .option('--from <version>', 'only if this version signs now', version)
    .option('--reason <text>', 'why; kept in the history')
    .option('--force', 'even if caches may not know the standby yet; recorded as forced')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn keys rotate --from 7 --reason "quarterly"\n  keyturn keys rotate --force',
    )
    .action((options: { from?: number; reason?: string; force?: boolean; json?: boolean }) =>
      withContext(async (context) => {
        const { at, retired, activated, forced } = await context
          .get(KeyRotation)
          .rotate({ reason: options.reason }, { fromVersion: options.from, force: options.force });
        const time = new Date(at).toISOString();
        if (options.json)
          return printJson({ retired: retired?.kid ?? null, activated: activated.kid, forced, at: time });
        return print(
          `${activated.kid} signs since ${moment(at, at)}${forced ? ', by force' : ''}; tokens of ${retired?.kid ?? 'earlier keys'} stay good until they expire.`,
        );
      }),
    );
