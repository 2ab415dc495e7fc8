import { chmod, lstat, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { claimDirectory } from './placement.js';

let world: string;

beforeEach(async () => {
  world = await mkdtemp(join(tmpdir(), 'keyturn-place-'));
});

afterEach(async () => {
  await rm(world, { recursive: true, force: true });
});

it('makes a directory that others may pass through and not read, and takes it again', async () => {
  await claimDirectory(join(world, 'base'));
  await claimDirectory(join(world, 'base'));

  expect((await lstat(join(world, 'base'))).mode & 0o777).toBe(0o711);
});

it('refuses a directory that somebody laid there as a trap: a symlink, or one that others may write in', async () => {
  await mkdir(join(world, 'open'));
  await chmod(join(world, 'open'), 0o777);
  await symlink(world, join(world, 'link'));

  await expect(claimDirectory(join(world, 'open'))).rejects.toThrow('others may write');
  await expect(claimDirectory(join(world, 'link'))).rejects.toThrow('somebody else');
});
