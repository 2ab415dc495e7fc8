import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CommandError } from './command-error.js';

/** Asks before what cannot be undone. Without a person at a terminal only `--yes` goes on. */
export async function confirm(question: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new CommandError(`${question} Say so with --yes.`);
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`${question} Type yes to go on: `);
    if (answer.trim() !== 'yes') throw new CommandError('Nothing was changed.');
  } finally {
    prompt.close();
  }
}

/** A password from a file, from standard input, or typed unseen. Never from an argument: those are seen by everyone. */
export async function readPassword(file: string | undefined): Promise<string> {
  if (file !== undefined) return firstLine(readGivenFile(file).toString('utf8'));
  if (!process.stdin.isTTY) return firstLine(readFileSync(0, 'utf8'));
  process.stderr.write('Password: ');
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input: process.stdin, output: unseen, terminal: true });
  try {
    return await prompt.question('');
  } finally {
    prompt.close();
    process.stderr.write('\n');
  }
}

/** A file that the command line names. @throws CommandError when it cannot be read */
export function readGivenFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${error instanceof Error ? error.message : 'unknown error'}`, {
      cause: error,
    });
  }
}

const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0] ?? '';
