import { randomUUID } from 'node:crypto';
import { chown, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Binaries } from './binaries.js';
import { loginRoles } from './credentials.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { draftPrefix, type Place } from './placement.js';
import { run } from './run.js';

/** Makes the cluster beside its place and moves it there when it is whole, so that a crash leaves none or a good one. */
export async function createCluster(
  binaries: Binaries,
  place: Place,
  { superuserPassword, sync }: { superuserPassword: string; sync: boolean },
): Promise<void> {
  await removeAbandonedDrafts(place.base);
  const draft = join(place.base, `${draftPrefix}${randomUUID()}`);
  const passwordFile = `${draft}.password`;
  try {
    await mkdir(draft, { mode: 0o700 });
    // In a file because every account may read the arguments of a process.
    await writeFile(passwordFile, superuserPassword, { mode: 0o600, flag: 'wx' });
    if (place.account !== undefined) {
      await chown(draft, place.account.uid, place.account.gid);
      await chown(passwordFile, place.account.uid, place.account.gid);
    }
    const made = await run(binaries.initdb, initdbArguments(draft, passwordFile, sync), place.account);
    if (!made.ok) {
      throw new EmbeddedPostgresError(
        `initdb could not make a PostgreSQL cluster in ${place.base}: ${made.stderr.trim()}\n` +
          'Mend that and start again, or set DATABASE_URL to a PostgreSQL server of your own.',
      );
    }
    await rename(draft, place.clusterDir);
  } finally {
    await rm(passwordFile, { force: true });
    await rm(draft, { recursive: true, force: true });
  }
}

function initdbArguments(draft: string, passwordFile: string, sync: boolean): string[] {
  return [
    '-D',
    draft,
    `--username=${loginRoles.superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Built into the server, so that text sorts the same on every machine, whatever locales it has.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
    ...(sync ? [] : ['--no-sync']),
  ];
}

/**
 * Of starts that were killed. Their initdb may still be at work for a moment and put new files where we remove; should it
 * win, what is left is in nobody's way.
 */
async function removeAbandonedDrafts(base: string): Promise<void> {
  const drafts = (await readdir(base)).filter((name) => name.startsWith(draftPrefix));
  const patient = { recursive: true, force: true, maxRetries: 10, retryDelay: 50 };
  await Promise.allSettled(drafts.map(async (name) => await rm(join(base, name), patient)));
}
