import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { installedBinaries, runnableBinaries } from './binaries.js';
import { createCluster } from './cluster.js';
import { host } from './connection.js';
import { firstPasswords, loginRoles, readPasswords, type LoginRole, type Passwords } from './credentials.js';
import { databaseName, prepareDatabase } from './database.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode } from './files.js';
import { becomeOwner, giveUpOwnership, hasLivingOwner } from './owner.js';
import { choosePlace, findPlace, prepareDataDir } from './placement.js';
import { answeringServer, startServer, type Server } from './server.js';
import { takeStartLock } from './start-lock.js';
import { stopServer } from './stop-server.js';

export { EmbeddedPostgresError };

export interface EmbeddedPostgres {
  /** Connection strings of database `keyturn`, one a role. They hold passwords: never log them. */
  readonly urls: Readonly<Record<LoginRole, string>>;
  readonly host: typeof host;
  readonly port: number;
  /** Where the cluster's files really lie: not in `dataDir` where root's chosen account cannot reach that. */
  readonly clusterDir: string;
  /** Of the server, such as `18.4`. */
  readonly version: string;
  /** A running server whose starter still lives was joined: `stop()` leaves it running. */
  readonly joined: boolean;
  /**
   * Ends the server, also under those who joined it. May be called twice. Nobody calls it for you: no signal handler
   * and no exit hook is installed, and a server that was not stopped is taken over by the next start.
   */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  readonly dataDir: string;
  readonly log?: (line: string) => void;
  /** More of postgresql.conf, such as `{ fsync: 'off' }` for tests. Used by whoever starts the server. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * The development database of a data directory: created at the first call, started again at later ones, joined where
 * another process already runs it.
 *
 * @throws {EmbeddedPostgresError} saying what is wrong and what to type next
 */
export async function openEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log = () => {}, settings = {} } = options;
  const installed = await installedBinaries();
  const dataDir = await prepareDataDir(resolve(options.dataDir));
  const release = await takeStartLock(dataDir);
  try {
    const existing = await findPlace(dataDir);
    const passwords = await (existing === undefined ? firstPasswords(dataDir) : readPasswords(dataDir));
    const place = existing ?? (await choosePlace(dataDir, log));
    const binaries = await runnableBinaries(installed, { copyTo: place.base, account: place.account, log });
    if (existing === undefined) {
      log(`creating a PostgreSQL cluster in ${place.clusterDir}`);
      await createCluster(binaries, place, {
        superuserPassword: passwords.superuser,
        sync: settings['fsync'] !== 'off',
      });
    }

    const running = await answeringServer(place.clusterDir, passwords.superuser);
    if (running !== null && (await hasLivingOwner(dataDir))) return handle(running, place.clusterDir, passwords);
    if (running === null) await startServer(binaries, place, { logFile: join(dataDir, 'postgres.log'), settings });
    else log(`taking over the PostgreSQL server (pid ${running.pid}) that a process now gone has left running`);

    const server = running ?? (await answeringServer(place.clusterDir, passwords.superuser));
    if (server === null) throw new EmbeddedPostgresError(`The PostgreSQL server in ${place.clusterDir} ended at once`);
    await becomeOwner(dataDir);
    const stop = async () => {
      await stopServer(place.clusterDir, server.pid, binaries);
      await giveUpOwnership(dataDir);
    };
    try {
      await prepareDatabase(server.port, passwords);
    } catch (error) {
      await stop();
      throw error;
    }
    return handle(server, place.clusterDir, passwords, stop);
  } finally {
    await release();
  }
}

/** The running server of a data directory, or null where none runs. Starts nothing, owns nothing, makes no directory. */
export async function joinEmbeddedPostgres(dataDir: string): Promise<EmbeddedPostgres | null> {
  const real = await realpath(dataDir).catch((error: unknown) => {
    if (isErrorCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (real === undefined || (await findPlace(real)) === undefined) return null;
  // Whoever starts it holds the lock until database and roles are there.
  const release = await takeStartLock(real);
  try {
    const place = await findPlace(real);
    if (place === undefined) return null;
    const passwords = await readPasswords(real);
    const server = await answeringServer(place.clusterDir, passwords.superuser);
    return server === null ? null : handle(server, place.clusterDir, passwords);
  } finally {
    await release();
  }
}

/** Without a way to stop it, it is somebody else's. */
function handle(
  { port, version }: Server,
  clusterDir: string,
  passwords: Passwords,
  stop?: () => Promise<void>,
): EmbeddedPostgres {
  const url = (role: LoginRole) => `postgres://${loginRoles[role]}:${passwords[role]}@${host}:${port}/${databaseName}`;
  let stopping: Promise<void> | undefined;
  return {
    urls: { superuser: url('superuser'), migrator: url('migrator'), app: url('app'), auditor: url('auditor') },
    host,
    port,
    clusterDir,
    version,
    joined: stop === undefined,
    stop: async () => await (stopping ??= stop?.() ?? Promise.resolve()),
  };
}
