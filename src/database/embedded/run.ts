import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parse } from 'node:path';
import type { Account } from './account.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode } from './files.js';

export interface RunResult {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * How every program of the cluster is started. None of our environment reaches it: it holds secrets. It works in the
 * root folder, because ours may be one that the account cannot enter. With `uid` and `gid` libuv also empties the list
 * of supplementary groups, so that nothing of root stays behind.
 */
export function launchOptions(account: Account | undefined) {
  const { PATH = '/usr/bin:/bin', SystemRoot } = process.env;
  return {
    cwd: parse(process.cwd()).root,
    env: { PATH, LC_ALL: 'C', TZ: 'UTC', ...(SystemRoot === undefined ? {} : { SystemRoot }) },
    ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
  };
}

export async function run(file: string, args: string[], account: Account | undefined): Promise<RunResult> {
  const options = { ...launchOptions(account), timeout: 120_000 };
  return await new Promise((resolve, reject) => {
    execFile(file, args, options, (error, stdout, stderr) => {
      if (isErrorCode(error, 'ENOENT') && existsSync(file)) reject(foreignLoader(file));
      else resolve({ ok: error === null, stdout, stderr: stderr || (error?.message ?? '') });
    });
  });
}

/** The file is there and still "no such file": what is missing is the loader that it names. */
export function foreignLoader(file: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `${file} cannot run here: the embedded PostgreSQL needs glibc, and this system has another C library (Alpine has ` +
      'musl). Set DATABASE_URL to a PostgreSQL server of your own, or use a Debian-based image.',
  );
}
