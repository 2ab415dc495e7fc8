import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CommandError } from './command-error.js';

/** Asks before what cannot be undone. Without a person at a terminal only `--yes` goes on. */
export async function confirm(question: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new CommandError('confirmation_required', `${question} Say so with --yes.`);
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`${question} Type yes to go on: `);
    if (answer.trim() !== 'yes') throw new CommandError('not_confirmed', 'Nothing was changed.');
  } finally {
    prompt.close();
  }
}

/** Where a person sits, if one does. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
}

const here: Terminal = { input: process.stdin, output: process.stderr };

/**
 * A secret from a file, from standard input, or typed unseen. Never from an argument: those are seen by everyone.
 * @param label what is asked for, such as `Password of anna`
 * @throws CommandError when standard input, or the file, holds nothing to read
 */
export async function readSecret(label: string, file?: string, terminal = here): Promise<string> {
  if (file !== undefined) return firstLine(readGivenFile(file).toString('utf8'));
  if (!terminal.input.isTTY) return firstLine(readStandardInput(label));
  return askUnseen(label, terminal);
}

function readStandardInput(label: string): string {
  const text = readFileSync(0, 'utf8');
  if (text !== '') return text;
  throw new CommandError(
    'input_empty',
    `${label} was read from standard input, for there is no terminal, and it was empty.`,
  );
}

/** What is typed or pasted until Enter; it is not shown. */
export async function askUnseen(label: string, { input, output }: Terminal = here): Promise<string> {
  output.write(`${label}: `);
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input, output: unseen, terminal: true });
  try {
    return await prompt.question('');
  } finally {
    prompt.close();
    output.write('\n');
  }
}

/** A file that the command line names. @throws CommandError when it cannot be read */
export function readGivenFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CommandError(
      'file_unreadable',
      `${path} cannot be read: ${error instanceof Error ? error.message : 'unknown error'}`,
      {
        cause: error,
      },
    );
  }
}

const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0] ?? '';
