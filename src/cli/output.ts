// `keyturn … | head` closes the pipe early: whoever reads has enough, and the command goes on to close its database.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

/** What a command prints: words for a person, or with `--json` the same as data. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));
