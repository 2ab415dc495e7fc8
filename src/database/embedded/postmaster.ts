import { lchown } from 'node:fs/promises';
import { join } from 'node:path';
import { readText, writeAtomically } from './files.js';
import type { Place } from './placement.js';
import { isPostmasterOf } from './process-identity.js';

/** What a running server says of itself in postmaster.pid (PostgreSQL source, src/include/utils/pidfile.h). */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly status: string;
}

function pidFile(clusterDir: string): string {
  return join(clusterDir, 'postmaster.pid');
}

/** The cluster's running server, in whatever state; undefined where none runs, also when a pid file says otherwise. */
export async function findPostmaster(clusterDir: string): Promise<Postmaster | undefined> {
  const lines = (await readText(pidFile(clusterDir)))?.split('\n') ?? [];
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0 || !(await isPostmasterOf(clusterDir, pid))) return undefined;
  return { pid, port: Number(lines[3]), status: lines[7]?.trim() ?? '' };
}

/**
 * Postgres refuses to start while the pid in a left-over file belongs to any process of the same account. Once we know
 * that it is not a server of this cluster we write our own pid there, which Postgres takes for its parent's and passes.
 * The file must stay: its shared memory id is how Postgres notices backends that outlived their postmaster.
 */
export async function disarmPidFile({ clusterDir, account }: Place): Promise<void> {
  const text = await readText(pidFile(clusterDir));
  if (text === undefined || !/^\d+\n/.test(text)) return;
  await writeAtomically(pidFile(clusterDir), text.replace(/^\d+/, String(process.pid)));
  if (account !== undefined) await lchown(pidFile(clusterDir), account.uid, account.gid);
}
