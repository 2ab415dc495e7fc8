import { z } from 'zod';
import { PASSWORD, startTestApp, type Answer, type AskOptions, type TestApp } from '../support/test-app.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

export const OTHER_PASSWORD = 'eleven kettles under a green roof';

export const userSchema = z.strictObject({
  id: z.string(),
  username: z.string(),
  roles: z.array(z.string()),
  standing: z.enum(['active', 'invited', 'reset', 'disabled']),
  createdAt: z.string(),
  disabledAt: z.string().nullable(),
  resetAt: z.string().nullable(),
  passwordChangedAt: z.string().nullable(),
});
export type SeenUser = z.output<typeof userSchema>;

export const pageSchema = z.strictObject({ users: z.array(userSchema), next: z.string().nullable() });

export const withCodeSchema = z.strictObject({
  user: userSchema,
  code: z.string(),
  redeemUrl: z.string(),
  codeExpiresAt: z.string(),
});

export const sessionsSchema = z.strictObject({
  sessions: z.array(
    z.strictObject({
      id: z.string(),
      device: z.string().nullable(),
      address: z.string().nullable(),
      createdAt: z.string(),
      lastUsedAt: z.string(),
      expiresAt: z.string(),
      current: z.boolean().optional(),
    }),
  ),
});

/** Somebody who has logged in. */
export interface Person {
  readonly id: string;
  readonly username: string;
  readonly token: string;
  readonly refreshToken: string;
  ask(path: string, options?: AskOptions): Promise<Answer>;
}

/** A server with an administrator called root. */
export interface World {
  readonly database: TestDatabase;
  readonly server: TestApp;
  readonly root: Person;
  /** Makes a user and logs in. */
  person(username: string, roles?: readonly string[]): Promise<Person>;
  /** Logs in once more. */
  again(person: { readonly id: string; readonly username: string }, password?: string): Promise<Person>;
  close(): Promise<void>;
}

export async function createWorld({
  database,
  settings = {},
}: {
  database?: TestDatabase;
  settings?: Parameters<typeof startTestApp>[0]['settings'];
} = {}): Promise<World> {
  database ??= await createTestDatabase();
  const server = await startTestApp({ database, settings });
  const again: World['again'] = async ({ id, username }, password = PASSWORD) => {
    const { access_token: token, refresh_token: refreshToken } = await server.login(username, password);
    const ask: Person['ask'] = (path, options) => server.ask(path, { token, ...options });
    return { id, username, token, refreshToken, ask };
  };
  const person: World['person'] = async (username, roles = []) => {
    const { id } = await server.createUser({ username, roles });
    return again({ id, username });
  };
  return {
    database,
    server,
    person,
    again,
    root: await person('root@example.com', ['admin']),
    close: async () => {
      await server.close();
      await database.drop();
    },
  };
}

/** `[403, 'insufficient_scope']` */
export function refusalOf({ status, body, headers }: Answer): [number, string] {
  if (!headers.get('content-type')?.startsWith('application/problem+json')) throw new Error(`not a problem: ${status}`);
  return [status, z.looseObject({ code: z.string() }).parse(body).code];
}

export const idOfSession = (token: string): string =>
  z.looseObject({ sid: z.string() }).parse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()))
    .sid;
