import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { readJson, writeAtomically } from './files.js';

/** Who may log in to the embedded cluster, by the name that `urls` gives them. */
export const loginRoles = {
  superuser: 'postgres',
  migrator: 'keyturn_migrator',
  app: 'keyturn_app',
  auditor: 'keyturn_auditor',
} as const;
export type LoginRole = keyof typeof loginRoles;

const password = z.string().regex(/^[\w-]{20,}$/);
const passwords = z.object({ superuser: password, migrator: password, app: password, auditor: password });
export type Passwords = Readonly<z.infer<typeof passwords>>;

function credentialsFile(dataDir: string): string {
  return join(dataDir, 'credentials.json');
}

export async function readPasswords(dataDir: string): Promise<Passwords> {
  const file = credentialsFile(dataDir);
  const found = await readJson(file, passwords);
  if (found !== undefined) return found;
  throw new EmbeddedPostgresError(
    `${file} is missing or damaged, and the database beside it cannot be opened without its passwords. Restore the ` +
      `file, or begin anew by moving ${dataDir} away.`,
  );
}

/** Written before the cluster exists, so that no crash can leave a cluster whose password nobody has. */
export async function firstPasswords(dataDir: string): Promise<Passwords> {
  const found = await readJson(credentialsFile(dataDir), passwords);
  if (found !== undefined) return found;
  const made = {
    superuser: randomPassword(),
    migrator: randomPassword(),
    app: randomPassword(),
    auditor: randomPassword(),
  };
  await writeAtomically(credentialsFile(dataDir), `${JSON.stringify(made, null, 2)}\n`);
  return made;
}

function randomPassword(): string {
  return randomBytes(24).toString('base64url');
}

/**
 * What Postgres keeps in place of a password (RFC 5803): sent instead of it, so that no statement holds one.
 * Our passwords are ASCII, on which SASLprep changes nothing.
 */
export function scramVerifier(secret: string, salt: Buffer = randomBytes(16)): string {
  const iterations = 4096;
  const salted = pbkdf2Sync(secret, salt, iterations, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
