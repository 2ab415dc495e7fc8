import { createPublicKey, type KeyObject } from 'node:crypto';
import { createServer as createTcpServer } from 'node:net';
import type { LoggerService, Type } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SchedulerRegistry } from '@nestjs/schedule';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { z } from 'zod';
import { AppModule } from '../../src/app.module.js';
import type { Config } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load-config.js';
import type { SettingName } from '../../src/config/settings.js';
import { SYSTEM } from '../../src/database/change.js';
import { News } from '../../src/database/news.js';
import { privateKeyFrom } from '../../src/keys/key-material.js';
import { KeyTick } from '../../src/keys/upkeep/key-tick.js';
import { KeyUpkeep } from '../../src/keys/upkeep/key-upkeep.js';
import { SigningKeyStore } from '../../src/keys/store/signing-key-store.js';
import type { SigningKey } from '../../src/keys/signing-key.js';
import { KeyEncryptionKeys } from '../../src/keys/vault/key-encryption-keys.js';
import { createServer } from '../../src/server.js';
import type { User } from '../../src/users/user.entity.js';
import { UsersService } from '../../src/users/users.service.js';
import type { TestDatabase } from './test-database.js';

/** Good enough for the policy, and anybody's. */
export const PASSWORD = 'seven lanterns over quiet water';

/** What came back over HTTP. `body` is JSON where the answer says so, text otherwise. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An access token: sent as `Authorization: Bearer`. */
  readonly token?: string;
  /** Sent as JSON, with POST. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

const tokenPairSchema = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.number(),
  refresh_token: z.string(),
  refresh_expires_in: z.number(),
});
export type TestTokenPair = z.output<typeof tokenPairSchema>;

/** The pair of an answer to a login or a refresh. */
export const tokenPair = (answer: Answer): TestTokenPair => {
  if (answer.status !== 200) throw new Error(`expected tokens, got ${answer.status} ${JSON.stringify(answer.body)}`);
  return tokenPairSchema.parse(answer.body);
};

/** A signing key of the ring with the half that only the vault has. */
export interface OpenedKey extends SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** The real server in this process, listening on 127.0.0.1. */
export interface TestApp {
  readonly url: string;
  readonly app: NestFastifyApplication;
  readonly config: Config;
  /** For a second server over the same database: `settings: { KEK: first.kek }`. */
  readonly kek: string;
  /** Every line that was logged, of whatever level, with all that was handed to the logger. */
  readonly log: readonly string[];
  /** Every statement that went through the server's pool since the last `statements.length = 0`. */
  readonly statements: string[];
  ask(path: string, options?: AskOptions): Promise<Answer>;
  login(username: string, password?: string): Promise<TestTokenPair>;
  refresh(refreshToken: string): Promise<Answer>;
  createUser(user: { username: string; password?: string; roles?: readonly string[] }): Promise<User>;
  /** What the poll does, now: hears of ended sessions, changed users and keys, sets the clock, and makes the keys that this asks for. */
  hearNews(): Promise<void>;
  /** What the cron does every minute, now. */
  tick(): Promise<void>;
  /** The live keys with their private halves, oldest first. */
  openKeys(): Promise<readonly OpenedKey[]>;
  close(): Promise<void>;
}

/** Tests log in by the hundred, many at once. A test of the throttle sets what it needs. */
const UNTHROTTLED = {
  LOGIN_ATTEMPTS: '100000',
  LOGIN_ATTEMPTS_BY_NAME: '100000',
  LOGIN_ATTEMPTS_BY_ADDRESS: '100000',
} as const;

/** KiB and passes: far below what a setting may say. */
const CHEAP_HASH = { memory: 64, passes: 1 } as const;

/**
 * Neither the poll nor the cron comes by itself within a test: `hearNews()` and `tick()` are the poll and the cron. A test that wants the
 * poll sets KEY_POLL_INTERVAL.
 */
const QUIET = { KEY_POLL_INTERVAL: '60s', KEY_REFRESH_BOUND: '4min', KEY_OFFLINE_LIMIT: '5min' } as const;

/**
 * Signs with ES256: a pair of RSA takes longer to make than all the rest of a start. A test that is about RS256 sets it.
 * @param settings environment variables, over those that every test has
 * @param features modules beside AppModule, as an application developer would add them
 * @param dearHashes password hashes as in production, of which the hundreds of a run would take most of its time
 */
export async function startTestApp({
  database,
  settings = {},
  features = [],
  dearHashes = false,
}: {
  database: TestDatabase;
  settings?: Partial<Record<SettingName, string>>;
  features?: readonly Type[];
  dearHashes?: boolean;
}): Promise<TestApp> {
  const kek = settings.KEK ?? KeyEncryptionKeys.newLine();
  const loaded = loadConfig({
    NODE_ENV: 'test',
    PORT: String(await freePort()),
    DATABASE_URL: database.urls.app,
    KEY_ALGORITHM: 'ES256',
    ...UNTHROTTLED,
    ...(settings.KEY_POLL_INTERVAL === undefined && QUIET),
    ...settings,
    KEK: kek,
  });
  const config = dearHashes ? loaded : { ...loaded, passwordHash: { ...loaded.passwordHash, ...CHEAP_HASH } };
  const logger = new CollectingLogger();
  const app = await withFeatures(features, () => createServer(config, database.urls.app, logger));
  const statements: string[] = [];
  recordStatements(app, statements);
  try {
    await app.listen(config.http.port, config.http.host);
  } catch (error) {
    await app.close();
    throw error;
  }
  await app.get(SchedulerRegistry).getCronJob('key-tick').stop();

  const url = `http://${config.http.host}:${config.http.port}`;
  const ask = (path: string, options: AskOptions = {}): Promise<Answer> => askAt(url, path, options);
  return {
    ...{ url, app, config, kek, log: logger.lines, statements, ask },
    login: async (username, password = PASSWORD) =>
      tokenPair(await ask('/auth/login', { json: { username, password } })),
    refresh: (refreshToken) => ask('/auth/refresh', { json: { refresh_token: refreshToken } }),
    createUser: ({ username, password = PASSWORD, roles = [] }) =>
      app.get(UsersService).create(SYSTEM, { username, password, roles }),
    hearNews: async () => {
      await app.get(News).check();
      await app.get(KeyUpkeep).idle();
    },
    tick: async () => void (await app.get(KeyTick).run()),
    openKeys: () => openKeys(app),
    close: () => app.close(),
  };
}

/** One request over HTTP. */
export async function askAt(
  url: string,
  path: string,
  { method, headers = {}, token, json, body }: AskOptions,
): Promise<Answer> {
  const content = json === undefined ? body : JSON.stringify(json);
  const response = await fetch(url + path, {
    method: method ?? (content === undefined ? 'GET' : 'POST'),
    headers: {
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(content !== undefined && { body: content }),
    redirect: 'manual',
  });
  const text = await response.text();
  const isJson = /^application\/([a-z-]+\+)?json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, body: isJson && text !== '' ? JSON.parse(text) : text };
}

/** The members of a JSON object, token part or answer, by name. */
export const members = (value: unknown): Readonly<Record<string, unknown>> =>
  z.record(z.string(), z.unknown()).parse(value);

/** Puts modules beside AppModule while the server is put together. */
async function withFeatures<T>(features: readonly Type[], work: () => Promise<T>): Promise<T> {
  if (features.length === 0) return work();
  const register = AppModule.register.bind(AppModule);
  AppModule.register = (config, databaseUrl) => ({
    module: Beside,
    imports: [register(config, databaseUrl), ...features],
  });
  try {
    return await work();
  } finally {
    AppModule.register = register;
  }
}

class Beside {}

class CollectingLogger implements LoggerService {
  readonly lines: string[] = [];
  log = (...said: unknown[]): void => this.keep('log', said);
  error = (...said: unknown[]): void => this.keep('error', said);
  warn = (...said: unknown[]): void => this.keep('warn', said);
  debug = (...said: unknown[]): void => this.keep('debug', said);
  verbose = (...said: unknown[]): void => this.keep('verbose', said);
  fatal = (...said: unknown[]): void => this.keep('fatal', said);

  private keep(level: string, said: readonly unknown[]): void {
    const text = said.map((part) =>
      part instanceof Error ? `${part.stack} ${String(part.cause)}` : JSON.stringify(part),
    );
    this.lines.push([level, ...text].join(' '));
  }
}

/** Where the statements of a client are written down. */
const recorded = new WeakMap<object, string[]>();
const query: (...asked: unknown[]) => unknown = Reflect.get(pg.Client.prototype, 'query');
// The server's clients take this method when they are made.
Reflect.set(pg.Client.prototype, 'query', function (this: pg.Client, ...asked: unknown[]): unknown {
  const [statement] = asked;
  recorded.get(this)?.push(typeof statement === 'string' ? statement : String(Reflect.get(Object(statement), 'text')));
  return query.apply(this, asked);
});

function recordStatements(app: NestFastifyApplication, statements: string[]): void {
  const pool: unknown = Reflect.get(app.get(DataSource).driver, 'master');
  if (!(pool instanceof pg.Pool)) throw new Error('the pool of the data source is not where it was');
  pool.on('acquire', (client) => recorded.set(client, statements));
}

async function openKeys(app: NestFastifyApplication): Promise<readonly OpenedKey[]> {
  const { keys } = await app.get(SigningKeyStore).load();
  return keys.flatMap(({ key, sealed }) => {
    if (!sealed) return [];
    const bytes = app.get(KeyEncryptionKeys).open(sealed, `${key.kid}|${key.version}|${key.algorithm}`);
    const privateKey = privateKeyFrom(key.algorithm, bytes);
    return [{ ...key, privateKey, publicKey: privateKey.type === 'secret' ? privateKey : createPublicKey(privateKey) }];
  });
}

/** The issuer of a token names the port, so it is known before the server is made. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createTcpServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
