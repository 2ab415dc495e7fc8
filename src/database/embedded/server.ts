import { spawn } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Binaries } from './binaries.js';
import { asSuperuser, host } from './connection.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode, readText } from './files.js';
import type { Place } from './placement.js';
import { poll } from './poll.js';
import { disarmPidFile, findPostmaster } from './postmaster.js';
import { foreignLoader, launchOptions } from './run.js';
import { stopServer } from './stop-server.js';

export interface Server {
  readonly pid: number;
  readonly port: number;
  readonly version: string;
}

const readyWithinMs = 60_000;

/** Small, quick to start, and as durable as the real thing. */
const developmentSettings = {
  shared_buffers: '64MB',
  max_connections: '100',
  password_encryption: 'scram-sha-256',
  log_statement: 'none',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

export async function startServer(
  binaries: Binaries,
  place: Place,
  { logFile, settings }: { logFile: string; settings: Readonly<Record<string, string>> },
): Promise<void> {
  await disarmPidFile(place);
  for (let attempt = 1; ; attempt += 1) {
    const failure = await launch(binaries, place, { logFile, settings, port: await freePort() });
    if (failure === undefined) return;
    const lastLines = (await readText(logFile))?.trim().split('\n').slice(-15).join('\n') ?? '';
    // Between asking for a free port and using it somebody else may take it; and the backends of a postmaster that
    // was killed need a moment to notice.
    const passing = /could not create any TCP\/IP sockets|pre-existing shared memory block/.test(lastLines);
    if (!passing || attempt === 20) {
      throw new EmbeddedPostgresError(
        `The embedded PostgreSQL did not start: ${failure}. The end of ${logFile}:\n${lastLines}\n` +
          `Mend that and start again; or begin anew by moving ${place.clusterDir} away; or set DATABASE_URL to a ` +
          'PostgreSQL server of your own.',
      );
    }
    await pause(250);
  }
}

/** Gives what went wrong, or nothing once the server takes connections. */
async function launch(
  binaries: Binaries,
  { clusterDir, account }: Place,
  { logFile, settings, port }: { logFile: string; settings: Readonly<Record<string, string>>; port: number },
): Promise<string | undefined> {
  // A log begins anew with each start, and so stays small.
  await rm(logFile, { force: true });
  const output = await open(logFile, 'ax', 0o600);
  const configuration = {
    ...developmentSettings,
    ...settings,
    listen_addresses: host,
    port: String(port),
    // A project's path is soon too long for a socket's.
    unix_socket_directories: '',
  };
  const state: { pid?: number; ended?: string } = {};
  try {
    const child = spawn(
      binaries.postgres,
      ['-D', clusterDir, ...Object.entries(configuration).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      {
        ...launchOptions(account),
        stdio: ['ignore', output.fd, output.fd],
        // A process group of its own: Ctrl-C in the terminal reaches us alone, and we stop it when we are done with it.
        detached: true,
      },
    );
    child.once('error', (error) => {
      state.ended = isErrorCode(error, 'ENOENT') ? foreignLoader(binaries.postgres).message : error.message;
    });
    child.once('exit', (code, signal) => (state.ended = `it ended with ${signal ?? `exit code ${code}`}`));
    // A caller that fails to stop it must still be able to end; the next start takes the server over.
    child.unref();
    if (child.pid !== undefined) state.pid = child.pid;
  } finally {
    await output.close();
  }

  // The pid file says "ready" once this very process listens on the port. Nobody is sent a password before that:
  // whoever snatched the port could ask for it in the clear.
  const outcome = await poll(
    async () => {
      if (state.ended !== undefined) return state.ended;
      const postmaster = await findPostmaster(clusterDir);
      return postmaster?.pid === state.pid && postmaster?.status === 'ready' ? 'ready' : undefined;
    },
    { timeoutMs: readyWithinMs },
  );
  if (outcome === 'ready') return undefined;
  if (outcome === undefined && state.pid !== undefined) await stopServer(clusterDir, state.pid, binaries);
  return outcome ?? `it was not ready after ${readyWithinMs / 1000} s`;
}

/**
 * The cluster's server, once it has answered to our password; null where none runs. One that is on its way up or down
 * is waited for.
 */
export async function answeringServer(clusterDir: string, password: string): Promise<Server | null> {
  const server = await poll(async () => await askServer(clusterDir, password), { timeoutMs: readyWithinMs });
  if (server !== undefined) return server;
  throw new EmbeddedPostgresError(
    `A PostgreSQL server runs in ${clusterDir} and takes no connections after ${readyWithinMs / 1000} s. Stop it ` +
      `(its pid is the first line of ${clusterDir}/postmaster.pid) and start again.`,
  );
}

/** undefined: not yet. */
async function askServer(clusterDir: string, password: string): Promise<Server | null | undefined> {
  const postmaster = await findPostmaster(clusterDir);
  if (postmaster === undefined) return null;
  if (postmaster.status !== 'ready') return undefined;
  try {
    return await asSuperuser({ port: postmaster.port, password, database: 'postgres' }, async (client) => {
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
      return { ...postmaster, version: rows[0]?.server_version.split(' ')[0] ?? '' };
    });
  } catch (error) {
    // 57P0x: starting up or shutting down.
    if (isErrorCode(error, 'ECONNREFUSED', 'ECONNRESET', '57P01', '57P02', '57P03')) return undefined;
    throw new EmbeddedPostgresError(
      `A PostgreSQL server runs in ${clusterDir} on port ${postmaster.port} and refuses the password in ` +
        'credentials.json, or cannot be reached. Stop it, or restore that file, and start again.',
      { cause: error },
    );
  }
}

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, host, () => {
      const address = probe.address();
      probe.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new EmbeddedPostgresError('no free port on 127.0.0.1'));
      });
    });
  });
}
