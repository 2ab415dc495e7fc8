/** What stops the embedded server from running, said for the person at the terminal: what is wrong, what to type next. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}
