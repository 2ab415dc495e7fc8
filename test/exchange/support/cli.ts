import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jest } from '@jest/globals';
import { keyturn } from '../../../src/cli/program.js';
import type { TestApp } from '../../support/test-app.js';
import type { TestDatabase } from '../../support/test-database.js';

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const cli = fileURLToPath(new URL('../../../dist/src/cli.js', import.meta.url));

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  { env = {}, input = '' }: { env?: Readonly<Record<string, string>>; input?: string } = {},
): Promise<Said> {
  return await new Promise((resolve, reject) => {
    const { PATH = '' } = process.env;
    const child = spawn(program, [...args], { env: { PATH, ...env }, cwd: tmpdir() });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
    // A program that ends without reading closes its end.
    child.stdin.on('error', () => undefined).end(input);
  });
}

/** What follows `keyturn`, run within this process: most of a command of its own is loading. One at a time. */
export async function runHere(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Said> {
  const said = { out: '', err: '' };
  const listen = (channel: 'stdout' | 'stderr', to: 'out' | 'err') =>
    jest.spyOn(process[channel], 'write').mockImplementation((text) => {
      said[to] += String(text);
      return true;
    });
  const [before, spies] = [{ ...process.env }, [listen('stdout', 'out'), listen('stderr', 'err')]];
  const become = (next: NodeJS.ProcessEnv): void => {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, next);
  };
  try {
    become({ PATH: before['PATH'], ...env });
    return { code: (await keyturn(args)) ?? 0, ...said };
  } finally {
    become(before);
    for (const spy of spies) spy.mockRestore();
  }
}

/** `keyturn …` beside a server: the same database, issuer and key-encryption key, unless `settings` say otherwise. */
export const keyturnBeside =
  (server: TestApp, database: TestDatabase, settings: Readonly<Record<string, string>> = {}) =>
  (args: readonly string[], input = ''): Promise<Said> => {
    const env = {
      NODE_ENV: 'test',
      DATABASE_URL: database.urls.app,
      KEK: server.kek,
      PORT: String(server.config.http.port),
      KEY_ALGORITHM: server.config.keys.algorithm,
      ...settings,
    };
    // What is typed wants a process of its own.
    return input === '' ? runHere(args, env) : run(process.execPath, [cli, ...args], { input, env });
  };

/** A folder for the files of a test. */
export interface Folder {
  readonly path: string;
  /** @returns the path of the new file */
  write(name: string, text: string | Uint8Array, mode?: number): Promise<string>;
  remove(): Promise<void>;
}

export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'keyturn-exchange-'));
  return {
    path,
    write: async (name, text, mode = 0o600) => {
      const file = join(path, name);
      await writeFile(file, text, { mode });
      return file;
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}
