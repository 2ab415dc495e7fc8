/** Ends a command with a sentence and exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
