import { randomUUID } from 'node:crypto';
import { readFileSync, rmdirSync, unlinkSync } from 'node:fs';
import { link, mkdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode, readJson, readText, writeAtomically } from './files.js';
import { poll } from './poll.js';
import { isStillRunning, processIdentity, thisProcess } from './process-identity.js';

/** Only one process at a time may look for, create or start the server of a data directory. Gives the release. */
export async function takeStartLock(dataDir: string, timeoutMs = 120_000): Promise<() => Promise<void>> {
  const lock = join(dataDir, 'start.lock');
  const claim = `${lock}.${randomUUID()}`;
  // The claim is unique, so that a lock which was seen to be stale can never be mistaken for a later one.
  await writeAtomically(claim, JSON.stringify({ ...(await thisProcess()), claim }));
  try {
    const taken = await poll(async () => (await tryLink(claim, lock)) || (await breakIfStale(lock)), { timeoutMs });
    if (taken === undefined) throw await heldTooLong(lock, timeoutMs);
  } finally {
    await rm(claim, { force: true });
  }
  return async () => await rm(lock, { force: true });
}

/** A hard link appears with its content, or fails because another is there. */
async function tryLink(claim: string, lock: string): Promise<true | undefined> {
  try {
    await link(claim, lock);
    return true;
  } catch (error) {
    if (isErrorCode(error, 'EEXIST')) return undefined;
    throw error;
  }
}

async function breakIfStale(lock: string): Promise<undefined> {
  const seen = await readText(lock);
  const holder = await readJson(lock, processIdentity);
  if (seen === undefined || (holder !== undefined && (await isStillRunning(holder)))) return;

  // Two that break the same lock could each remove the other's new one: they take turns, and look again inside.
  const turn = `${lock}.breaking`;
  try {
    await mkdir(turn);
  } catch (error) {
    if (!isErrorCode(error, 'EEXIST')) throw error;
    await abandonOldTurn(turn);
    return;
  }
  try {
    if (readFileSync(lock, 'utf8') === seen) unlinkSync(lock);
  } catch (error) {
    if (!isErrorCode(error, 'ENOENT')) throw error;
  } finally {
    rmdirSync(turn);
  }
}

/** A turn takes microseconds; one that is still there after many seconds belonged to a process that was killed in it. */
async function abandonOldTurn(turn: string): Promise<void> {
  try {
    if (Date.now() - (await stat(turn)).mtimeMs > 10_000) await rmdir(turn);
  } catch (error) {
    if (!isErrorCode(error, 'ENOENT')) throw error;
  }
}

async function heldTooLong(lock: string, timeoutMs: number): Promise<EmbeddedPostgresError> {
  const pid = (await readJson(lock, processIdentity))?.pid ?? 'unknown';
  return new EmbeddedPostgresError(
    `Another process (pid ${pid}) has been starting the embedded PostgreSQL for ${timeoutMs / 1000} s. ` +
      `Stop it, or remove ${lock} if it is not Keyturn's, and start again.`,
  );
}
