import { Command, InvalidArgumentError } from 'commander';
import { UserAdministration } from '../auth/administration/user-administration.js';
import { newUsername, USERNAME_RULE } from '../common/text.js';
import { roleName } from '../users/roles.js';
import { readSecret } from './ask.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { printCode } from './users-reset-password.command.js';

const checkedUsername = (text: string): string => {
  if (newUsername.safeParse(text).success) return text;
  throw new InvalidArgumentError(USERNAME_RULE);
};

const collectRole = (role: string, roles: readonly string[]): readonly string[] => {
  if (roleName.safeParse(role).success) return [...new Set([...roles, role])];
  throw new InvalidArgumentError('A role has 1 to 64 letters, digits, or _ . : -');
};

interface Options {
  readonly role: readonly string[];
  readonly invite?: boolean;
  readonly passwordFile?: string;
  readonly json?: boolean;
}

export const usersCreateCommand = (): Command =>
  new Command('create')
    .description(
      'a user who can log in at once; the password is asked for, or read from standard input. Or, with --invite, one who chooses it',
    )
    .argument('<username>', 'what the person types to log in; may be an e-mail address', checkedUsername)
    .option('--role <role>', "a role; may be given again. admin and auditor are the product's own", collectRole, [])
    .option('--password-file <file>', 'read the password from the first line of a file')
    .option('--invite', 'ask for no password: print, once, a code that sets it')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      `
Examples:
  keyturn users create anna --role admin
  keyturn users create bob --role hr --password-file /run/secrets/bob
  keyturn users create carl@example.com --invite`,
    )
    .action((username: string, { role: roles, invite, passwordFile, json }: Options) =>
      withContext(async (context) => {
        const administration = context.get(UserAdministration);
        if (invite) {
          const invited = await administration.invite({}, { username, roles });
          return json ? printJson(invited) : printCode(invited);
        }
        const password = await readSecret(`Password of ${username}`, passwordFile);
        const user = await administration.create({}, { username, password, roles });
        if (json) return printJson({ id: user.id, username: user.username, roles: user.roles });
        return print(
          `${user.username} can log in${user.roles.length > 0 ? ` with the roles ${user.roles.join(', ')}` : ''} (${user.id}).`,
        );
      }),
    );
