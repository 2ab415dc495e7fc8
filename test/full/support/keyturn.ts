import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestDatabase } from '../../support/test-database.js';
import { administrator } from './client.js';
import { eventually } from './wait.js';

export type Settings = Readonly<Record<string, string>>;

export interface Ended {
  /** Null: a signal ended it. */
  readonly code: number | null;
  /** What it said, on both channels. */
  readonly output: string;
}

/** A server process that listens. */
export interface Keyturn {
  readonly url: string;
  readonly pid: number;
  output(): string;
  isRunning(): boolean;
  /** SIGTERM unless told otherwise, and waits for the end. */
  stop(signal?: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<Ended>;
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
const main = join(root, 'dist/src/main.js');
export const cli = join(root, 'dist/src/cli.js');

export const newKek = (id = 'test'): string => `${id}:${randomBytes(32).toString('base64')}`;

/** What a server over a test database needs; two that are started with the same settings share keys and issuer. */
export const settingsFor = (database: TestDatabase, more: Settings = {}): Settings => ({
  DATABASE_URL: database.urls.app,
  MIGRATION_DATABASE_URL: database.urls.migrator,
  ISSUER: 'http://keyturn.test',
  KEK: sharedKek,
  KEYTURN_ADMIN_USERNAME: administrator.username,
  KEYTURN_ADMIN_PASSWORD: administrator.password,
  // The same work in a tenth of the time: what is tested here is not RSA.
  KEY_ALGORITHM: 'ES256',
  // Load logs in by the hundred at once.
  LOGIN_ATTEMPTS: '100000',
  LOGIN_ATTEMPTS_BY_NAME: '100000',
  LOGIN_ATTEMPTS_BY_ADDRESS: '100000',
  ...more,
});
const sharedKek = newKek();

const begun = new Set<ChildProcess>();

/** Ends whatever runs, such as what a test that failed has left. */
export async function endAll(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  await Promise.all(
    [...begun].map(async (child) => {
      child.kill(signal);
      await new Promise((resolve) => child.once('close', resolve));
    }),
  );
}

function launch(script: string, args: readonly string[], settings: Settings) {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [script, ...args], {
    cwd: tmpdir(),
    env: { PATH, HOST: '127.0.0.1', PORT: '0', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  begun.add(child);
  let said = '';
  for (const channel of [child.stdout, child.stderr]) {
    channel.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => {
      begun.delete(child);
      resolve({ code, output: said });
    });
  });
  return { child, ended, output: () => said };
}

/** Starts a server and waits until it listens. */
export async function startKeyturn(settings: Settings): Promise<Keyturn> {
  const { child, ended, output } = launch(main, [], settings);
  let isRunning = true;
  void ended.then(() => (isRunning = false));
  const url = await eventually(
    'a server that listens',
    () => {
      if (!isRunning) throw new Error(`the server did not start:\n${output()}`);
      return /^ {2}app (http:\S+)/m.exec(output())?.[1];
    },
    { withinMs: 60_000, everyMs: 10 },
  );
  return {
    url,
    pid: child.pid ?? 0,
    output,
    isRunning: () => isRunning,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      return await ended;
    },
  };
}

/** Runs a server that is expected to end by itself. */
export async function runToEnd(settings: Settings): Promise<Ended> {
  return await toEnd(main, [], settings);
}

export async function runCli(args: readonly string[], settings: Settings, patienceMs?: number): Promise<Ended> {
  return await toEnd(cli, args, settings, patienceMs);
}

async function toEnd(script: string, args: readonly string[], settings: Settings, patienceMs = 40_000): Promise<Ended> {
  const { child, ended, output } = launch(script, args, settings);
  const patience = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  const end = await ended;
  clearTimeout(patience);
  if (end.code === null) throw new Error(`it did not end by itself:\n${output()}`);
  return end;
}

/** A folder that the account which root hands Postgres to can reach. */
export async function temporaryFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'keyturn-full-'));
  await chmod(path, 0o755);
  return { path, remove: async () => await rm(path, { recursive: true, force: true }) };
}

/** A port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(address !== null && typeof address === 'object' ? address.port : 0));
    });
  });
}

/** Every process whose command line holds this text, from /proc or ps. */
export async function processesWith(text: string): Promise<string[]> {
  const ps = spawn('ps', ['-ww', '-e', '-o', 'pid=,ppid=,command='], { stdio: ['ignore', 'pipe', 'ignore'] });
  let listed = '';
  ps.stdout.setEncoding('utf8').on('data', (chunk: string) => (listed += chunk));
  await new Promise((resolve) => ps.once('close', resolve));
  return listed.split('\n').filter((line) => line.includes(text));
}
