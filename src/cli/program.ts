import { Command, CommanderError } from 'commander';
import { auditVerifyCommand } from './audit-verify.command.js';
import { failureText } from './command-error.js';
import { doctorCommand } from './doctor.command.js';
import { kekNewCommand } from './kek-new.command.js';
import { keysExportCommand } from './keys-export.command.js';
import { keysImportCommand } from './keys-import.command.js';
import { keysBackupCommand, keysRestoreCommand } from './keys-backup.commands.js';
import { keysListCommand } from './keys-list.command.js';
import { keysPlanCommand } from './keys-plan.command.js';
import { keysReconcileCommand } from './keys-reconcile.command.js';
import { keysRenewCommand, keysReplaceStandbyCommand } from './keys-replace.commands.js';
import { keysResealCommand } from './keys-reseal.command.js';
import { keysRevokeCommand } from './keys-revoke.command.js';
import { keysRotateCommand } from './keys-rotate.command.js';
import { migrateCommand } from './migrate.command.js';
import { sqlCommand } from './sql.command.js';
import { tokenInspectCommand } from './token-inspect.command.js';
import { usersCreateCommand } from './users-create.command.js';
import { usersListCommand } from './users-list.command.js';
import { usersResetPasswordCommand } from './users-reset-password.command.js';
import { usersDisableCommand, usersEnableCommand } from './users-standing.commands.js';
import { ERROR_STATUS, KeyturnError } from '../common/errors.js';
import { KEYTURN_VERSION } from '../common/version.js';
import { DatabaseProblem } from '../database/open-database.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';

const EXIT = {
  /** Refused or failed, with a sentence that says why. */
  refused: 1,
  /** The command line cannot be read. */
  usage: 2,
  /** The database, or a key, cannot be had at the moment: EX_TEMPFAIL of sysexits.h. */
  tryAgain: 75,
} as const;

function exitCodeOf(error: unknown): number {
  const passing =
    (error instanceof KeyturnError && ERROR_STATUS[error.code] === 503) ||
    (error instanceof DatabaseProblem && isDatabaseUnavailable(error.cause));
  return passing ? EXIT.tryAgain : EXIT.refused;
}

const group = (name: string, about: string, commands: readonly Command[]): Command => {
  const command = new Command(name).description(about);
  for (const sub of commands) command.addCommand(sub);
  return command;
};

/** Anew for each line: a command keeps what it was told. */
const newProgram = (): Command =>
  new Command('keyturn')
    .description('Login with signing keys that rotate themselves: the command line of operators and DBAs.')
    .version(KEYTURN_VERSION)
    .addHelpText(
      'after',
      '\nExit codes: 0 done; 1 refused or failed, with a sentence that says why; 2 the command line cannot be read;\n75 the database or a key cannot be had at the moment, try again.',
    )
    .addCommand(migrateCommand())
    .addCommand(
      group('keys', 'the life of the signing keys', [
        keysListCommand(),
        keysPlanCommand(),
        keysRotateCommand(),
        keysRevokeCommand(),
        keysReplaceStandbyCommand(),
        keysRenewCommand(),
        keysImportCommand(),
        keysExportCommand(),
        keysResealCommand(),
        keysBackupCommand(),
        keysRestoreCommand(),
        keysReconcileCommand(),
      ]),
    )
    .addCommand(
      group('users', 'who may log in', [
        usersCreateCommand(),
        usersListCommand(),
        usersDisableCommand(),
        usersEnableCommand(),
        usersResetPasswordCommand(),
      ]),
    )
    .addCommand(group('token', 'access tokens', [tokenInspectCommand()]))
    .addCommand(group('audit', 'the history, and whether it is whole', [auditVerifyCommand()]))
    .addCommand(group('kek', 'key-encryption keys', [kekNewCommand()]))
    .addCommand(sqlCommand())
    .addCommand(doctorCommand());

const throwInsteadOfExit = (command: Command): void => {
  command.exitOverride();
  command.commands.forEach(throwInsteadOfExit);
};

/** Runs what follows `keyturn` on a command line. @returns the exit code; undefined: as the command said, or 0 */
export async function keyturn(line: readonly string[]): Promise<number | undefined> {
  const program = newProgram();
  throwInsteadOfExit(program);
  /** Does the command that runs speak to a script? */
  let json = false;
  program.hook('preAction', (_program, command) => {
    json = command.opts()['json'] === true;
  });
  try {
    await program.parseAsync(line, { from: 'user' });
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    process.stderr.write(`${failureText(error, json)}\n`);
    return exitCodeOf(error);
  }
}
