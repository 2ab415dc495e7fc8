import { KeyturnError, type ErrorCode } from '../common/errors.js';
import { unexpectedInWords } from '../common/unexpected.js';
import { ConfigError } from '../config/load-config.js';
import { EmbeddedPostgresError } from '../database/embedded/embedded-postgres.js';
import { DatabaseProblem } from '../database/open-database.js';

/** Stable words for scripts, beside those that HTTP answers with too (common/errors.ts). */
type CommandCode =
  | 'checkpoint_unreadable'
  | 'configuration_invalid'
  | 'confirmation_required'
  | 'database_unusable'
  | 'embedded_postgres_failed'
  | 'file_unreadable'
  | 'file_unwritable'
  | 'history_broken'
  | 'input_empty'
  | 'not_confirmed'
  | 'setting_missing'
  | 'statement_refused'
  | 'unhealthy';

/** Ends a command with a sentence and exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(
    readonly code: CommandCode | ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Why a command failed. */
interface Failure {
  readonly code: CommandCode | ErrorCode;
  readonly message: string;
  /** The details of a KeyturnError, such as the `reason` of a refused file. */
  readonly [detail: string]: unknown;
}

function failureOf(error: unknown): Failure {
  if (error instanceof KeyturnError) return { ...error.details, code: error.code, message: error.message };
  if (error instanceof CommandError) return { code: error.code, message: error.message };
  if (error instanceof ConfigError) return { code: 'configuration_invalid', message: error.message };
  if (error instanceof DatabaseProblem) return { code: 'database_unusable', message: error.message };
  if (error instanceof EmbeddedPostgresError) return { code: 'embedded_postgres_failed', message: error.message };
  return { code: 'internal_error', message: unexpectedInWords(error) };
}

/** What standard error says of a failure: `keyturn: code: sentence`, or with `--json` one line `{"error": {"code", "message", …}}`. */
export function failureText(error: unknown, json: boolean): string {
  const failure = failureOf(error);
  return json ? JSON.stringify({ error: failure }) : `keyturn: ${failure.code}: ${failure.message}`;
}
