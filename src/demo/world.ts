import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { loadConfig } from '../config/load-config.js';
import {
  EmbeddedPostgresError,
  openEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../database/embedded/embedded-postgres.js';
import { run } from '../start.js';

/** A server that lives for one demo, with a database of its own. */
export interface World {
  readonly url: string;
  /** Connection string of keyturn_auditor. */
  readonly auditorUrl: string;
  readonly database: string;
  readonly administrator: { readonly username: string; readonly password: string };
  /** Ends everything and removes what it left on the disk. */
  close(): Promise<void>;
}

/** Apart from `.keyturn`: the demo revokes keys. */
const DATA_DIR = '.keyturn-demo';
const nowhere = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });

/** @throws ConfigError, DatabaseProblem or EmbeddedPostgresError, each a sentence for a person */
export async function openWorld(): Promise<World> {
  const dataDir = resolve(DATA_DIR);
  await removeLeftovers(dataDir);
  const postgres = await openDatabase(dataDir);
  const remove = async (): Promise<void> => {
    await postgres.stop();
    await removeFiles(dataDir, postgres.clusterDir);
  };
  try {
    const administrator = { username: 'demo-admin', password: randomBytes(24).toString('base64url') };
    // The server finds the database of this data directory running, and joins it.
    const config = loadConfig({
      KEYTURN_DATA_DIR: dataDir,
      PORT: '0',
      LOG_LEVEL: 'silent',
      KEYTURN_ADMIN_USERNAME: administrator.username,
      KEYTURN_ADMIN_PASSWORD: administrator.password,
    });
    const server = await run(config, nowhere());
    const close = async (): Promise<void> => {
      await server.stop();
      await remove();
    };
    const database = `PostgreSQL ${postgres.version}, data in ${postgres.clusterDir}`;
    return { url: server.url, auditorUrl: postgres.urls.auditor, database, administrator, close };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Ctrl-C reaches the program that makes the database too. */
async function openDatabase(dataDir: string): Promise<EmbeddedPostgres> {
  try {
    return await openEmbeddedPostgres({ dataDir });
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** A demo that was killed could not tidy up; one that still runs is left in peace. */
async function removeLeftovers(dataDir: string): Promise<void> {
  if (!existsSync(dataDir)) return;
  const left = await openEmbeddedPostgres({ dataDir });
  if (left.joined) throw new EmbeddedPostgresError(`Another demo is running in ${dataDir}. Let it end, or end it.`);
  await left.stop();
  await removeFiles(dataDir, left.clusterDir);
}

/** For root the cluster may lie elsewhere than the data directory. */
async function removeFiles(dataDir: string, clusterDir: string): Promise<void> {
  await rm(dirname(clusterDir), { recursive: true, force: true });
  await rm(dataDir, { recursive: true, force: true });
}
