import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { isRoot, unprivilegedAccount } from '../../../src/database/embedded/account.js';
import { freePort } from './keyturn.js';
import { eventually } from './wait.js';

/** Where Debian has the programs of each PostgreSQL. */
const PACKAGED = '/usr/lib/postgresql';

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** The folder with server and client programs of the newest PostgreSQL that this machine has installed, if any. */
export async function installedPostgres(): Promise<string | undefined> {
  const versions = await readdir(PACKAGED).catch(() => []);
  for (const version of versions.toSorted((a, b) => Number(b) - Number(a))) {
    const bin = join(PACKAGED, version, 'bin');
    const needed = ['initdb', 'postgres', 'psql', 'createdb', 'pg_dump', 'pg_restore'];
    if ((await Promise.all(needed.map((program) => exists(join(bin, program))))).every(Boolean)) return bin;
  }
  return undefined;
}

/** The program of this name, if it is on the path or where root's programs are. */
export async function installed(program: string): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  for (const folder of folders) if (await exists(join(folder, program))) return join(folder, program);
  return undefined;
}

/** What a program said, on both channels, and how it ended. */
interface Done {
  readonly code: number | null;
  readonly output: string;
}

function done(child: ChildProcess): Promise<Done> {
  let output = '';
  for (const channel of [child.stdout, child.stderr]) {
    channel?.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** A script as a person at a shell would run it. Without a terminal to ask at, programs read what is `typed` to their prompts. */
export function beginShell(
  script: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  typed = '',
): ChildProcessByStdio<Writable, Readable, Readable> {
  const child = spawn('sh', ['-euc', script], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // Who does not read what is typed has ended before.
  child.stdin.on('error', () => undefined).end(typed);
  return child;
}

/** Runs a script, and wants it to succeed. @returns what it printed */
export async function shell(
  script: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  typed?: string,
): Promise<string> {
  const { code, output } = await done(beginShell(script, cwd, env, typed));
  if (code !== 0) throw new Error(`exit code ${code} of:\n${script}\n${output}`);
  return output;
}

/** Postgres and poolers refuse to run as root. */
async function account(): Promise<{ uid?: number; gid?: number }> {
  if (!isRoot()) return {};
  const { uid, gid } = await unprivilegedAccount();
  return { uid, gid };
}

/** A folder of `parent` for whoever runs the daemons. */
async function folderFor(parent: string, name: string, { uid, gid }: { uid?: number; gid?: number }): Promise<string> {
  const folder = join(parent, name);
  await mkdir(folder, { mode: 0o700 });
  if (uid !== undefined && gid !== undefined) await chown(folder, uid, gid);
  return folder;
}

interface Daemon {
  stop(signal: NodeJS.Signals): Promise<void>;
}

async function daemon(
  program: string,
  args: readonly string[],
  who: { uid?: number; gid?: number },
  isUp: RegExp,
): Promise<Daemon> {
  const child = spawn(program, args, { cwd: '/', env: {}, stdio: ['ignore', 'pipe', 'pipe'], ...who });
  let [said, running] = ['', true];
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve())).then(() => void (running = false));
  child.once('error', (error) => (said += error.message));
  await eventually(`${program} is up`, () => {
    if (!running) throw new Error(`${program} did not start:\n${said}`);
    return isUp.test(said);
  });
  return {
    stop: async (signal) => {
      if (running) child.kill(signal);
      await ended;
    },
  };
}

/** A PostgreSQL server of its own, beside the one of the run, with the superuser `postgres`. */
export interface OwnPostgres {
  /** The connection string of a role; every role whose password was set has the same one. */
  url(user: string, database: string): string;
  readonly password: string;
  /** What makes `psql` and its like talk to it as the superuser. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** @param bin where its programs are @param parent an empty folder that others can enter */
export async function startOwnPostgres(bin: string, parent: string): Promise<OwnPostgres> {
  const who = await account();
  const world = await folderFor(parent, 'postgres', who);
  const data = join(world, 'data');
  const password = randomBytes(16).toString('hex');
  const passwordFile = join(world, 'password');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (who.uid !== undefined && who.gid !== undefined) await chown(passwordFile, who.uid, who.gid);
  const asked = ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8'];
  const made = await done(
    spawn(join(bin, 'initdb'), [...asked, '--locale', 'C', '-N'], {
      cwd: '/',
      env: {},
      stdio: ['ignore', 'pipe', 'pipe'],
      ...who,
    }),
  );
  if (made.code !== 0) throw new Error(`initdb: ${made.output}`);
  const port = String(await freePort());
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'fsync=off'];
  const server = await daemon(
    join(bin, 'postgres'),
    ['-D', data, ...settings.flatMap((one) => ['-c', one])],
    who,
    /ready to accept connections/,
  );
  return {
    url: (user, database) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    password,
    environment: {
      PATH: `${bin}${delimiter}${process.env['PATH']}`,
      PGHOST: '127.0.0.1',
      PGPORT: port,
      PGUSER: 'postgres',
      PGPASSWORD: password,
    },
    stop: async () => await server.stop('SIGINT'),
  };
}

/** PgBouncer in transaction mode. */
export interface Pooler {
  /** The connection string, by way of the pooler. */
  through(url: string): string;
  stop(): Promise<void>;
}

/**
 * @param before connection strings of what lies behind it, one a role, all of one database
 * @param settings lines of `[pgbouncer]`, as a page of ours says them
 * @param parent an empty folder that others can enter
 */
export async function startPgbouncer(
  program: string,
  before: readonly string[],
  settings: string,
  parent: string,
): Promise<Pooler> {
  const who = await account();
  const world = await folderFor(parent, 'pgbouncer', who);
  const [port, places] = [String(await freePort()), before.map((url) => new URL(url))];
  const [place] = places;
  if (place === undefined) throw new Error('a pooler before nothing');
  const write = async (name: string, text: string): Promise<string> => {
    const file = join(world, name);
    await writeFile(file, text, { mode: 0o600 });
    if (who.uid !== undefined && who.gid !== undefined) await chown(file, who.uid, who.gid);
    return file;
  };
  const users = places.map(({ username, password }) => `"${username}" "${decodeURIComponent(password)}"\n`);
  const userFile = await write('userlist.txt', users.join(''));
  const file = await write(
    'pgbouncer.ini',
    `[databases]
* = host=${place.hostname} port=${place.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${userFile}
${settings}
`,
  );
  const running = await daemon(program, [file], who, /process up/);
  return {
    through: (url) => {
      const changed = new URL(url);
      changed.hostname = '127.0.0.1';
      changed.port = port;
      return changed.href;
    },
    stop: async () => await running.stop('SIGTERM'),
  };
}
