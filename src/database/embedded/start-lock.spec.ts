import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { takeStartLock } from './start-lock.js';

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'keyturn-lock-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

it('is held by one at a time, also when many find the same stale one', async () => {
  await writeFile(join(dataDir, 'start.lock'), JSON.stringify({ pid: process.pid, startTime: 'of another life' }));
  let holders = 0;
  let most = 0;

  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const release = await takeStartLock(dataDir);
      most = Math.max(most, (holders += 1));
      await new Promise(setImmediate);
      holders -= 1;
      await release();
    }),
  );

  expect(most).toBe(1);
  expect(await readdir(dataDir)).toEqual([]);
});

it('names the holder to whoever has waited long enough', async () => {
  const release = await takeStartLock(dataDir);

  await expect(takeStartLock(dataDir, 50)).rejects.toThrow(`pid ${process.pid}`);

  await release();
});
