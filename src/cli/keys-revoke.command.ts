import { Command } from 'commander';
import { KeyRotation, RECEIPT_PATIENCE_MS } from '../keys/operations/key-rotation.js';
import { CONFIG, type Config } from '../config/config.js';
import { shutStandby as shutStandbyClause } from '../keys/planning/plan-keys.js';
import { receiptOf } from '../keys/http/receipt.js';
import { confirm } from './ask.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { moment } from './relative-time.js';
import { withProgress } from './progress.js';

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
        const config = context.get<Config>(CONFIG);
        const revocation = await withProgress(
          'waiting for the running servers to follow',
          { atMost: RECEIPT_PATIENCE_MS, json },
          () => context.get(KeyRotation).revoke({}, kid, reason),
        );
        const receipt = receiptOf(revocation, config.keys);
        if (json) return printJson(receipt);
        const { revoked, signer, shutStandby, replicas } = receipt;
        const waiting = shutStandby === null ? undefined : `nothing took over: ${shutStandbyClause(shutStandby)}`;
        const unsigned = waiting ?? 'nothing signs until a running server makes a new key';
        const time = (instant: string): string => moment(Date.parse(instant), revocation.at);
        print(
          `${revoked} is revoked since ${time(receipt.at)}; ${signer === null ? unsigned : `${signer} signs now`}.`,
        );
        print(
          `Effective on ${replicas.following} of ${replicas.live} running servers after ${(replicas.afterMilliseconds / 1_000).toFixed(1)} s; outside caches by ${time(receipt.outsideCachesBy)}.`,
        );
        for (const { id, verifiesAtMostUntil } of replicas.silent)
          print(
            `Server ${id} was not seen to follow. Unless it was killed, it may verify until ${time(verifiesAtMostUntil)} at most.`,
          );
        return undefined;
      }),
    );
