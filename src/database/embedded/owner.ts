import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson, writeAtomically } from './files.js';
import { isStillRunning, processIdentity, thisProcess } from './process-identity.js';

const ownerFile = (dataDir: string) => join(dataDir, 'owner.json');

/** Is whoever started the running server still there to stop it? An unreadable answer means no. */
export async function hasLivingOwner(dataDir: string): Promise<boolean> {
  const owner = await readJson(ownerFile(dataDir), processIdentity);
  return owner !== undefined && (await isStillRunning(owner));
}

export async function becomeOwner(dataDir: string): Promise<void> {
  await writeAtomically(ownerFile(dataDir), `${JSON.stringify(await thisProcess())}\n`);
}

export async function giveUpOwnership(dataDir: string): Promise<void> {
  const owner = await readJson(ownerFile(dataDir), processIdentity);
  if (owner?.pid === process.pid) await rm(ownerFile(dataDir), { force: true });
}
