import { Command, InvalidArgumentError } from 'commander';
import { CONFIG, type Config } from '../config/config.js';
import { readAssignment, withSettings } from '../config/load-config.js';
import { tryOut } from '../keys/planning/forecast.js';
import { parseHorizon } from '../keys/planning/horizon.js';
import { SigningKeyStore } from '../keys/store/signing-key-store.js';
import { stateOf } from '../keys/signing-key.js';
import { environment, withContext } from './context.js';
import { print, printJson } from './output.js';
import { moment } from './relative-time.js';
import { table } from './table.js';
import { canDraw, timeline } from './timeline.js';

const horizon = (text: string): number => {
  const milliseconds = parseHorizon(text);
  if (milliseconds === undefined) throw new InvalidArgumentError('Write 90d, 26w, 6mo or 1y; at most 10y.');
  return milliseconds;
};

const assignment = (text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => {
  const entry = readAssignment(text);
  if (!entry) throw new InvalidArgumentError('Write NAME=value with a setting of docs/configuration.md.');
  return { ...before, [entry[0]]: entry[1] };
};

export const keysPlanCommand = (): Command =>
  new Command('plan')
    .description('the schedule ahead over the real keys, and a dry run of settings')
    .option('--for <time>', 'how far to look: 90d, 26w, 6mo, 1y (default: 6mo)', horizon)
    .option('--set <NAME=value>', 'as if this setting were changed; may be given again', assignment)
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn keys plan --for 1y\n  keyturn keys plan --set KEY_ROTATION_INTERVAL=7d\n  keyturn keys plan --set ACCESS_TOKEN_TTL=2h     # says which rule and which key forbid it',
    )
    .action((options: { for?: number; set?: Readonly<Record<string, string>>; json?: boolean }) =>
      withContext(async (context) => {
        const { keys, now } = await context.get(SigningKeyStore).all();
        // Throws with every rule between settings that the change would break.
        const config = withSettings(context.get<Config>(CONFIG), options.set ?? {});
        const until = now + (options.for ?? horizon('6mo'));
        const ahead = tryOut(keys, config, now, until);
        if (options.json)
          return printJson(ahead.events.map((event) => ({ ...event, at: new Date(event.at).toISOString() })));
        const alive = ahead.keys.filter((key) => !['expired', 'revoked'].includes(stateOf(key, now)));
        const from = Math.min(now, ...alive.map((key) => key.publishedAt));
        print(timeline(alive, now, from, until, canDraw(environment)));
        print('');
        return print(
          table(
            ['when', 'key', 'what'],
            ahead.events.map((event) => [moment(event.at, now), event.kid, event.event]),
          ),
        );
      }),
    );
