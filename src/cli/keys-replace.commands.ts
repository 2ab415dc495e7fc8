import type { INestApplicationContext } from '@nestjs/common';
import { Command, Option } from 'commander';
import { ALGORITHMS } from '../config/settings.js';
import { KeyReplacement, type Source } from '../keys/operations/key-replacement.js';
import type { Algorithm } from '../keys/signing-key.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { withProgress } from './progress.js';
import { moment } from './relative-time.js';

interface Options {
  readonly reason?: string;
  readonly json?: boolean;
}

/** Puts a key in the standby's place and says what became of it. Shared with `keys import`. */
export async function replaceStandby(
  context: INestApplicationContext,
  source: Source,
  { reason, json }: Options,
): Promise<void> {
  const { at, displaced, standby, takesOverAt } = await withProgress('making and publishing the key', { json }, () =>
    context.get(KeyReplacement).replaceStandby({ reason }, source),
  );
  if (json)
    return printJson({ standby, displaced: displaced?.kid ?? null, takesOverAt: new Date(takesOverAt).toISOString() });
  print(`${standby} is published and takes over ${moment(takesOverAt, at)}.`);
  return displaced ? print(`${displaced.kid}, which waited before, is superseded.`) : undefined;
}

const withReason = (command: Command): Command =>
  command.option('--reason <text>', 'why; kept in the history').option('--json', 'for scripts');

export const keysReplaceStandbyCommand = (): Command =>
  withReason(
    new Command('replace-standby').description("a new pair in the standby's place, of another algorithm if you like"),
  )
    .addOption(new Option('--algorithm <name>', 'default: KEY_ALGORITHM').choices(ALGORITHMS))
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn keys replace-standby --algorithm ES256 --reason "moving to ES256"\n  keyturn keys replace-standby     # when nobody can open the standby',
    )
    .action(({ algorithm, ...options }: Options & { algorithm?: Algorithm }) =>
      withContext((context) => replaceStandby(context, { is: 'generated', algorithm }, options), { custody: true }),
    );

export const keysRenewCommand = (): Command =>
  withReason(
    new Command('renew').description(
      'the active pair again, under a new version, kid and validity: for a private key that must stay',
    ),
  )
    .addHelpText('after', '\nExample:\n  keyturn keys renew --reason "the partner pins our key"')
    .action((options: Options) =>
      withContext((context) => replaceStandby(context, { is: 'renewed' }, options), { custody: true }),
    );
