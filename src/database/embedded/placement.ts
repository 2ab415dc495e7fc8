import { createHash, randomUUID } from 'node:crypto';
import { chmod, chown, lstat, mkdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { isRoot, unprivilegedAccount, type Account } from './account.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode, readJson, writeAtomically } from './files.js';
import { run } from './run.js';

/** Where the cluster lies and who runs it. */
export interface Place {
  /** Holds the cluster and, where they had to be copied, the programs. Ours, never the account's. */
  readonly base: string;
  readonly clusterDir: string;
  /** Undefined: we run it ourselves. */
  readonly account: Account | undefined;
}

const record = z.object({ clusterDir: z.string().startsWith('/') });
const recordFile = (dataDir: string) => join(dataDir, 'cluster.json');
/** What lies in a base under this prefix is unfinished, and removed before a cluster is made. */
export const draftPrefix = 'postgres.new-';
const clusterIn = (base: string) => join(base, 'postgres');

/** Makes the data directory; gives its real path, by which its servers are recognised. */
export async function prepareDataDir(dataDir: string): Promise<string> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const real = await realpath(dataDir);
  if (isRoot()) return real;
  const { uid } = await lstat(real);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new EmbeddedPostgresError(
      `${real} belongs to another account (was it made under sudo?). ` +
        'Start as that account, or set KEYTURN_DATA_DIR to a directory of your own.',
    );
  }
  await chmod(real, 0o700);
  return real;
}

/** The place of a cluster that exists already. */
export async function findPlace(dataDir: string): Promise<Place | undefined> {
  const recorded = isRoot() ? await readJson(recordFile(dataDir), record) : undefined;
  const bases = [...(recorded === undefined ? [] : [dirname(recorded.clusterDir)]), dataDir, ...elsewhere(dataDir)];
  for (const base of bases) {
    const clusterDir = clusterIn(base);
    if ((await statusOf(join(clusterDir, 'PG_VERSION'))) === undefined) continue;
    if (base !== dataDir) await claimDirectory(base);
    else if (isRoot() && (await lstat(base)).uid === 0) await chmod(base, 0o711);
    // Whoever owns the files must run the server: under sudo that is the person who made them.
    const owner = await lstat(clusterDir);
    const account = { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
    return {
      base,
      clusterDir,
      account: isRoot() ? (owner.uid === 0 ? await unprivilegedAccount() : account) : undefined,
    };
  }
  return undefined;
}

/** The place for a new cluster: the data directory itself, or, for root, where the account can work. */
export async function choosePlace(dataDir: string, log: (line: string) => void): Promise<Place> {
  if (!isRoot()) return { base: dataDir, clusterDir: clusterIn(dataDir), account: undefined };

  const account = await unprivilegedAccount();
  const refusals: string[] = [];
  for (const base of [dataDir, ...elsewhere(dataDir)]) {
    try {
      if (base !== dataDir) await claimDirectory(base);
      // The account may pass through and not look round; what we keep here is mode 0600.
      await chmod(base, 0o711);
      if (await canWorkIn(base, account)) {
        const place = { base, clusterDir: clusterIn(base), account };
        await writeAtomically(recordFile(dataDir), `${JSON.stringify({ clusterDir: place.clusterDir })}\n`);
        if (base !== dataDir) log(`account ${account.name} cannot reach ${dataDir}: the database lies in ${base}`);
        return place;
      }
      refusals.push(`${base}: account ${account.name} cannot reach it`);
    } catch (error) {
      refusals.push(`${base}: ${String(error)}`);
    }
    if (base === dataDir) await chmod(base, 0o700);
  }
  throw new EmbeddedPostgresError(
    `PostgreSQL refuses to run as root, and no directory was found where account ${account.name} could run it ` +
      `(${refusals.join('; ')}). Set KEYTURN_DATA_DIR to one that it can reach, or start as an ordinary user.`,
  );
}

/** Where root may put what the account must reach: the second is lost with the next reboot of most systems. */
function elsewhere(dataDir: string): string[] {
  if (!isRoot()) return [];
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  return [join('/var/lib/keyturn', hash), join(tmpdir(), `keyturn-0-${hash}`)];
}

/** Anybody may make a directory in /tmp before we do: one that is not ours, or a symlink, is refused. */
export async function claimDirectory(directory: string): Promise<void> {
  const parent = dirname(directory);
  if (parent === '/var/lib/keyturn') await claimDirectory(parent);
  await mkdir(directory, { mode: 0o711 }).catch((error: unknown) => {
    if (!isErrorCode(error, 'EEXIST')) throw error;
  });
  const status = await lstat(directory);
  if (!status.isDirectory() || status.uid !== process.getuid?.() || (status.mode & 0o022) !== 0) {
    throw new EmbeddedPostgresError(`${directory} was made by somebody else, or others may write in it: remove it`);
  }
  await chmod(directory, 0o711);
}

/** Tried for real: modes alone do not tell what access lists, mounts and security modules allow. */
async function canWorkIn(base: string, account: Account): Promise<boolean> {
  // Named like a draft of a cluster, so that one which a kill left behind goes the way of those.
  const probe = join(base, `${draftPrefix}probe-${randomUUID()}`);
  await mkdir(probe, { mode: 0o700 });
  try {
    await chown(probe, account.uid, account.gid);
    return (await run('/bin/sh', ['-c', 'cd -- "$1" && : > file', 'sh', probe], account)).ok;
  } finally {
    await rm(probe, { recursive: true, force: true });
  }
}

async function statusOf(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
