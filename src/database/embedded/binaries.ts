import { randomUUID } from 'node:crypto';
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { z } from 'zod';
import type { Account } from './account.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode, readJson } from './files.js';
import { run } from './run.js';

/** The programs of one platform package, which find their libraries and templates by their own place. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pg_ctl: string;
}

const binariesModule = z.object({ initdb: z.string(), postgres: z.string(), pg_ctl: z.string() });
const symlinkList = z.array(z.object({ source: z.string(), target: z.string() }));
const packageManifest = z.object({ version: z.string() });

export async function installedBinaries(
  platform: string = process.platform,
  architecture: string = process.arch,
): Promise<Binaries> {
  const packageName = `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${architecture}`;
  try {
    const loaded: unknown = await import(packageName);
    return binariesModule.parse(loaded);
  } catch (error) {
    throw new EmbeddedPostgresError(
      `The embedded PostgreSQL for this machine (${packageName}) is not installed: the platform has none, or npm was ` +
        'told to omit optional dependencies. Set DATABASE_URL to a PostgreSQL server of your own, or run ' +
        '"npm ci --include=optional".',
      { cause: error },
    );
  }
}

/**
 * The installed programs where the account can run them, else a copy in `copyTo` that it can: the project may lie where
 * only root may look, and where npm ran no install scripts the libraries' symlinks are missing.
 */
export async function runnableBinaries(
  installed: Binaries,
  { copyTo, account, log }: { copyTo: string; account: Account | undefined; log: (line: string) => void },
): Promise<Binaries> {
  if ((await missingSymlinks(installed)).length === 0 && (await answers(installed, account)).ok) return installed;

  const packageDir = packageDirOf(installed);
  const manifest = packageManifest.parse(JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8')));
  const copyDir = join(copyTo, `binaries-${manifest.version}`);
  const copy: Binaries = {
    initdb: join(copyDir, 'native', 'bin', basename(installed.initdb)),
    postgres: join(copyDir, 'native', 'bin', basename(installed.postgres)),
    pg_ctl: join(copyDir, 'native', 'bin', basename(installed.pg_ctl)),
  };
  if (!(await isDirectory(copyDir))) {
    log(`copying the PostgreSQL programs to ${copyDir}: they cannot be run where they are installed`);
    await copyPackage(packageDir, copyDir);
  }
  const answer = await answers(copy, account);
  if (answer.ok) return copy;
  throw new EmbeddedPostgresError(
    `The embedded PostgreSQL does not run here: ${answer.stderr.trim()}. ` +
      'Set DATABASE_URL to a PostgreSQL server of your own.',
  );
}

/** Asked for real, under the account, rather than computed from modes. */
async function answers(binaries: Binaries, account: Account | undefined) {
  return await run(binaries.initdb, ['--version'], account);
}

/** A copy appears whole or not at all. Everybody may read and run it; only we may change it. */
async function copyPackage(packageDir: string, copyDir: string): Promise<void> {
  const draft = `${copyDir}.${randomUUID()}`;
  try {
    await mkdir(draft);
    // Without `verbatimSymlinks` the links would point back into the folder that cannot be read.
    await cp(join(packageDir, 'native'), join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
    for (const { source, target } of await missingSymlinks({ initdb: join(draft, 'native', 'bin', 'initdb') })) {
      await symlink(relative(dirname(target), source), join(draft, target));
    }
    await chmod(draft, 0o755);
    for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isDirectory()) await chmod(path, 0o755);
      else if (entry.isFile()) await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
    }
    await rename(draft, copyDir);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

/** Packages cannot hold symlinks: each lists its own in pg-symlinks.json and makes them in its install script. */
async function missingSymlinks(binaries: Pick<Binaries, 'initdb'>) {
  const packageDir = packageDirOf(binaries);
  const links = (await readJson(join(packageDir, 'native', 'pg-symlinks.json'), symlinkList)) ?? [];
  const present = await Promise.all(links.map(({ target }) => exists(join(packageDir, target))));
  return links.filter((_, index) => present[index] === false);
}

function packageDirOf(binaries: Pick<Binaries, 'initdb'>): string {
  return dirname(dirname(dirname(binaries.initdb)));
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return false;
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return (await exists(path)) && (await lstat(path)).isDirectory();
}
