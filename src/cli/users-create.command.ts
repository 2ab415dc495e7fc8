import { Command } from 'commander';
import { UsersService } from '../users/users.service.js';
import { readPassword } from './ask.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';

const collect = (role: string, roles: readonly string[]): readonly string[] => [...roles, role];

export const usersCreateCommand = (): Command =>
  new Command('create')
    .description('a user who can log in at once; the password is asked for, or read from standard input')
    .argument('<username>', 'what the person types to log in; may be an e-mail address')
    .option('--role <role>', "a role; may be given again. admin and auditor are the product's own", collect, [])
    .option('--password-file <file>', 'read the password from the first line of a file')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn users create anna --role admin\n  keyturn users create bob --role hr --password-file /run/secrets/bob',
    )
    .action(
      (username: string, { role, passwordFile, json }: { role: string[]; passwordFile?: string; json?: boolean }) =>
        withContext(async (context) => {
          const password = await readPassword(passwordFile);
          const user = await context.get(UsersService).create({}, { username, password, roles: role });
          if (json) return printJson({ id: user.id, username: user.username, roles: user.roles });
          return print(
            `${user.username} can log in${user.roles.length > 0 ? ` with the roles ${user.roles.join(', ')}` : ''} (${user.id}).`,
          );
        }),
    );
