import { Command } from 'commander';
import { UserAdministration } from '../auth/administration/user-administration.js';
import { UserDirectory } from '../users/user-directory.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';

interface Options {
  readonly reason?: string;
  readonly json?: boolean;
}

export const usersDisableCommand = (): Command =>
  standingCommand('disable', 'a user may log in no more; every session ends, at once')
    .addHelpText('after', '\nExample:\n  keyturn users disable bob --reason "left the company"')
    .action((username: string, { reason, json }: Options) =>
      withContext(async (context) => {
        const { id } = await context.get(UserDirectory).named(username);
        const user = await context.get(UserAdministration).disable({ reason }, id);
        return json ? printJson(user) : print(`${user.username} is disabled; every session has ended.`);
      }),
    );

export const usersEnableCommand = (): Command =>
  standingCommand('enable', 'a disabled user may log in again').action((username: string, { reason, json }: Options) =>
    withContext(async (context) => {
      const { id } = await context.get(UserDirectory).named(username);
      const user = await context.get(UserAdministration).enable({ reason }, id);
      if (json) return printJson(user);
      return print(
        user.standing === 'active'
          ? `${user.username} may log in again.`
          : `${user.username} is enabled but has no password: type  keyturn users reset-password ${user.username}`,
      );
    }),
  );

const standingCommand = (name: string, about: string): Command =>
  new Command(name)
    .description(about)
    .argument('<username>', 'who')
    .option('--reason <text>', 'why; kept in the history')
    .option('--json', 'for scripts');
