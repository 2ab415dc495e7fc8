import { Command } from 'commander';
import { viewKey } from '../keys/http/key-view.js';
import { stateOf, type SigningKey } from '../keys/signing-key.js';
import { SigningKeyStore } from '../keys/store/signing-key-store.js';
import { environment, withContext } from './context.js';
import { print, printJson } from './output.js';
import { moment } from './relative-time.js';
import { table } from './table.js';
import { canDraw, timeline } from './timeline.js';

export const keysListCommand = (): Command =>
  new Command('list')
    .description('every key, its state, since when and until when')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn keys list\n  keyturn keys list --json | jq -r \'.[] | select(.state == "active").kid\'',
    )
    .action(({ json }: { json?: boolean }) =>
      withContext(async (context) => {
        const { keys, now } = await context.get(SigningKeyStore).all();
        if (json) return printJson(keys.map((key) => viewKey(key, now)));
        if (keys.length === 0) return print('No keys yet: the first server that starts makes them.');
        print(
          table(
            ['version', 'kid', 'algorithm', 'state', 'in words'],
            keys.map((key) => [key.version, key.kid, key.algorithm, stateOf(key, now), inWords(key, now)]),
          ),
        );
        const alive = keys.filter((key) => !['expired', 'revoked'].includes(stateOf(key, now)));
        if (alive.length === 0) return undefined;
        const from = Math.min(...alive.map((key) => key.publishedAt));
        const until = Math.max(now, ...alive.map((key) => key.expiresAt ?? key.activatesAt));
        return print(`\n${timeline(alive, now, from, until + (until - from) / 10, canDraw(environment))}`);
      }),
    );

/** One line of a key's life, as a person says it. */
export function inWords(key: SigningKey, now: number): string {
  const { activatesAt, retiresAt, expiresAt, revokedAt, revocationReason } = key;
  switch (stateOf(key, now)) {
    case 'pending':
      return `published, takes over ${moment(activatesAt, now)}`;
    case 'active':
      return `signs since ${moment(activatesAt, now)}, until ${retiresAt === null ? 'a successor is due' : moment(retiresAt, now)}`;
    case 'retiring':
      return `verifies until ${expiresAt === null ? 'further notice' : moment(expiresAt, now)}`;
    case 'expired':
      return `expired ${expiresAt === null ? '' : moment(expiresAt, now)}`;
    case 'revoked':
      return `revoked ${moment(revokedAt ?? now, now)}: ${revocationReason ?? ''}`;
  }
}
