/**
 * An error that nobody expected, for a terminal: message, stack, and those of its causes. Never its other properties, which Node would
 * print: a driver's error holds the parameters of the statement, and so a password's hash.
 */
export function unexpectedInWords(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : 'something that is no error was thrown';
  const said = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause instanceof Error ? `${said}\nbecause of ${unexpectedInWords(error.cause)}` : said;
}
