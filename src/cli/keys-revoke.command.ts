import { Command } from 'commander';
import { KeyRotation } from '../keys/key-rotation.js';
import { confirm } from './ask.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';

export const keysRevokeCommand = (): Command =>
  new Command('revoke')
    .description('a key is dead everywhere, at once and for good; if it signs, the standby takes over')
    .argument('<kid>', 'which key')
    .requiredOption('--reason <text>', 'why; kept in the history')
    .option('--yes', 'do not ask')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  keyturn keys revoke 7-NzbLsXh8 --reason "laptop with a backup was stolen"')
    .action((kid: string, { reason, yes, json }: { reason: string; yes?: boolean; json?: boolean }) =>
      withContext(async (context) => {
        await confirm(`Every token signed with ${kid} will be refused, for good.`, yes === true);
        const { at, revoked, signer, reach } = await context.get(KeyRotation).revoke({}, kid, reason);
        const time = new Date(at).toISOString();
        if (json) return printJson({ revoked: revoked.kid, signer: signer?.kid ?? null, at: time, replicas: reach });
        print(
          `${revoked.kid} is revoked since ${time}; ${signer ? `${signer.kid} signs now` : 'nothing signs until a running server makes a new key'}.`,
        );
        return print(`Effective on ${reach.following} of ${reach.live} running servers.`);
      }),
    );
