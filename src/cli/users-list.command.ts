import { Command, Option } from 'commander';
import { UserDirectory, type UserQuery } from '../users/user-directory.js';
import { cursorText } from '../users/user-cursor.js';
import { STANDINGS, type Standing, type UserView } from '../users/user-view.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { table } from './table.js';

const PAGE = 200;

export const usersListCommand = (): Command =>
  new Command('list')
    .description('every user, oldest first')
    .option('--match <text>', 'only where the username holds this, ignoring case')
    .option('--role <role>', 'only with this role')
    .addOption(new Option('--standing <standing>', 'only of this standing').choices(STANDINGS))
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  keyturn users list --role admin\n  keyturn users list --standing invited --json',
    )
    .action(({ match, role, standing, json }: { match?: string; role?: string; standing?: Standing; json?: boolean }) =>
      withContext(async (context) => {
        const users = await all(context.get(UserDirectory), { q: match, role, standing });
        if (json) return printJson(users);
        if (users.length === 0) return print('No such user.');
        return print(
          table(
            ['username', 'standing', 'roles', 'created', 'id'],
            users.map((user) => [user.username, user.standing, user.roles.join(', '), user.createdAt, user.id]),
          ),
        );
      }),
    );

async function all(directory: UserDirectory, query: Omit<UserQuery, 'after' | 'limit'>): Promise<readonly UserView[]> {
  const found: UserView[] = [];
  let next: string | null | undefined;
  while (next !== null) {
    const page = await directory.page({
      ...query,
      limit: PAGE,
      after: next === undefined ? undefined : cursorText.parse(next),
    });
    found.push(...page.users);
    next = page.next;
  }
  return found;
}
