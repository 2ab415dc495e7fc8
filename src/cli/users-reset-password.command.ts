import { Command } from 'commander';
import { UserAdministration, type UserWithCode } from '../auth/administration/user-administration.js';
import { UserDirectory } from '../users/user-directory.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';

export const usersResetPasswordCommand = (): Command =>
  new Command('reset-password')
    .description('takes the password away and ends every session; prints, once, a code that sets another password')
    .argument('<username>', 'who')
    .option('--reason <text>', 'why; kept in the history')
    .option('--json', 'for scripts')
    .addHelpText('after', '\nExample:\n  keyturn users reset-password bob --reason "forgot it"')
    .action((username: string, { reason, json }: { reason?: string; json?: boolean }) =>
      withContext(async (context) => {
        const { id } = await context.get(UserDirectory).named(username);
        const reset = await context.get(UserAdministration).reset({ reason }, id);
        if (json) return printJson(reset);
        print(`The password of ${reset.user.username} works no more; every session has ended.`);
        return printCode(reset);
      }),
    );

/** The one time that the code is seen. */
export function printCode({ user, code, redeemUrl, codeExpiresAt }: UserWithCode): void {
  print(`Hand this to ${user.username}; it works once, until ${codeExpiresAt}, and is not shown again:`);
  print(`  page  ${redeemUrl}`);
  print(`  code  ${code}`);
}
