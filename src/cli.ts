#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { auditVerifyCommand } from './cli/audit-verify.command.js';
import { failureText } from './cli/command-error.js';
import { doctorCommand } from './cli/doctor.command.js';
import { kekNewCommand } from './cli/kek-new.command.js';
import { keysExportCommand } from './cli/keys-export.command.js';
import { keysImportCommand } from './cli/keys-import.command.js';
import { keysBackupCommand, keysRestoreCommand } from './cli/keys-backup.commands.js';
import { keysListCommand } from './cli/keys-list.command.js';
import { keysPlanCommand } from './cli/keys-plan.command.js';
import { keysReconcileCommand } from './cli/keys-reconcile.command.js';
import { keysRenewCommand, keysReplaceStandbyCommand } from './cli/keys-replace.commands.js';
import { keysResealCommand } from './cli/keys-reseal.command.js';
import { keysRevokeCommand } from './cli/keys-revoke.command.js';
import { keysRotateCommand } from './cli/keys-rotate.command.js';
import { migrateCommand } from './cli/migrate.command.js';
import { sqlCommand } from './cli/sql.command.js';
import { tokenInspectCommand } from './cli/token-inspect.command.js';
import { usersCreateCommand } from './cli/users-create.command.js';
import { usersListCommand } from './cli/users-list.command.js';
import { usersResetPasswordCommand } from './cli/users-reset-password.command.js';
import { usersDisableCommand, usersEnableCommand } from './cli/users-standing.commands.js';
import { ERROR_STATUS, KeyturnError } from './common/errors.js';
import { KEYTURN_VERSION } from './common/version.js';
import { DatabaseProblem } from './database/open-database.js';
import { isDatabaseUnavailable } from './database/unavailable.js';

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

const program = new Command('keyturn')
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
throwInsteadOfExit(program);

/** Does the command that runs speak to a script? */
let json = false;
program.hook('preAction', (_program, command) => {
  json = command.opts()['json'] === true;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
  } else {
    process.stderr.write(`${failureText(error, json)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
