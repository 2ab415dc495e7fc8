import { readFileSync } from 'node:fs';
import type { INestApplicationContext } from '@nestjs/common';
import { Command } from 'commander';
import { askUnseen } from './ask.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { moment } from './relative-time.js';
import { table } from './table.js';
import { namesSecret, TokenInspector, type Inspection } from './token-inspector.js';

const HELP = `
TOKEN is better given on standard input: arguments are seen by everyone on the machine, and kept in the shell's history. The token
itself is never printed. A key-encryption key is needed for a token of an HMAC key alone: its secret verifies.

A token of ours is judged as the guard judges it: shape, key, signature, claims, session. Any other, such as one that a tutorial's
program made, is judged by its signature and its exp alone. Exit code 0: good; 1: refused.

Examples:
  keyturn token inspect < token.txt
  pbpaste | keyturn token inspect --json`;

export const tokenInspectCommand = (): Command =>
  new Command('inspect')
    .description('which key signed a token, the state of that key, and why the guard would accept or refuse it')
    .argument('[token]', 'default: read from standard input')
    .option('--json', 'for scripts')
    .addHelpText('after', HELP)
    .action(async (given: string | undefined, { json }: { json?: boolean }) => {
      const token = (given ?? (await readToken())).trim().replace(/^Bearer +/i, '');
      const custody = namesSecret(token);
      await withContext(
        async (context: INestApplicationContext) => {
          const inspection = await TokenInspector.over(context, custody).inspect(token);
          if (json) printJson(inspection);
          else show(inspection);
          if (!inspection.good) process.exitCode = 1;
        },
        { custody },
      );
    });

function show({ checkedAt, key, signature, claims, verdict }: Inspection): void {
  const now = Date.parse(checkedAt);
  const time = (seconds: number | undefined): string | undefined =>
    seconds === undefined ? undefined : moment(seconds * 1_000, now);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['key', key ? `${key.kid}, version ${key.version}, ${key.algorithm}` : 'none of ours'],
    ['state', key ? `${key.state}: ${key.inWords}` : undefined],
    ['signature', signature],
    ['issuer', claims?.iss],
    ['subject', claims?.sub],
    ['session', claims?.sid],
    ['issued', time(claims?.iat)],
    ['expires', time(claims?.exp)],
  ];
  const told = facts.filter(([, value]) => value !== undefined);
  print(table(['', 'found'], told));
  print('');
  print(verdict);
}

/** From a pipe or a file; typed or pasted unseen when a person sits there. */
async function readToken(): Promise<string> {
  if (!process.stdin.isTTY) return readFileSync(0, 'utf8');
  return askUnseen('Token, then Enter (it is not shown)');
}
