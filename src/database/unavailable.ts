import { KeyturnError } from '../common/errors.js';

/**
 * SQLSTATE classes and codes that say "not now", not "wrong": connection exceptions (08), insufficient resources (53),
 * operator intervention (57), read-only primary (25006), lock not available (55P03), serialization and deadlock (40).
 */
const SQLSTATE = /^(08|53|57|40)|^(25006|55P03)$/;
const SOCKET = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
/** node-postgres and its pool give these no code. */
const WORDS =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|not queryable|Client was closed|after calling end on the pool|Driver not Connected/i;

/** Does this error mean that the database cannot be had now? Wrong credentials after start count too: a person must mend them. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (SOCKET.has(code) || SQLSTATE.test(code) || code.startsWith('28')) return true;
  if (WORDS.test(error.message)) return true;
  return error instanceof AggregateError && error.errors.some(isDatabaseUnavailable);
}

/** Statement timeout (or a cancelled statement), and lock timeout. */
const TOO_LONG = new Set(['57014', '55P03']);

/**
 * Turns "not now" into the error that answers 503; anything else passes as it is.
 * @param limit the time that a statement may take, as a person knows it
 */
export function asKeyturnError(error: unknown, limit = 'DATABASE_TIMEOUT'): unknown {
  if (!isDatabaseUnavailable(error)) return error;
  const tookTooLong = error instanceof Error && 'code' in error && TOO_LONG.has(String(error.code));
  return new KeyturnError(
    'database_unavailable',
    tookTooLong ? `The database took longer than ${limit}.` : 'The database cannot be reached at the moment.',
    { retryAfter: 2 },
    { cause: error },
  );
}
