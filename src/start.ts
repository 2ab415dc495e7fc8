import { createServer as createTcpServer } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { OneTimeCodes } from './auth/codes/one-time-codes.js';
import { TokenSettings } from './auth/token/token-settings.js';
import { KeyturnError } from './common/errors.js';
import { unexpectedInWords } from './common/unexpected.js';
import type { Config } from './config/config.js';
import { ConfigError, loadConfig, type Environment } from './config/load-config.js';
import { SYSTEM } from './database/change.js';
import { EmbeddedPostgresError } from './database/embedded/embedded-postgres.js';
import { DatabaseProblem, explainLoss, openDatabase, type OpenDatabase } from './database/open-database.js';
import { loadKeyEncryptionKeys } from './keys/vault/load-key-encryption-keys.js';
import { LocalKeyVault } from './keys/vault/local-key-vault.js';
import { KeyRing } from './keys/ring/key-ring.js';
import { Draining } from './ops/health.controller.js';
import { PinoLogger } from './ops/logger.js';
import { createServer } from './server.js';
import { UsersService } from './users/users.service.js';

/** A server that listens, and its end. */
export interface RunningServer {
  readonly app: NestFastifyApplication;
  readonly url: string;
  stop(): Promise<void>;
}

/** The whole main job: reads the configuration, readies the database, listens, says so, and ends cleanly on a signal. */
export async function start(environment: Environment, out: NodeJS.WritableStream): Promise<void> {
  try {
    const ending = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort(signal));
    const config = loadConfig(environment);
    const server = await run(config, out);
    if (!ending.signal.aborted)
      await new Promise((resolve) => ending.signal.addEventListener('abort', resolve, { once: true }));
    server.app.get(Draining).begun = true;
    // A person at the terminal waits for nothing; a balancer must notice first.
    if (ending.signal.reason === 'SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, config.http.shutdownGrace));
    await server.stop();
  } catch (error) {
    process.stderr.write(`${isExpected(error) ? error.message : unexpectedInWords(error)}\n`);
    process.exitCode = 1;
  }
}

/** Starts a server and prints where everything is. Whatever was begun is ended when a later step fails. */
export async function run(configured: Config, out: NodeJS.WritableStream): Promise<RunningServer> {
  const config = await withPort(configured);
  loadKeyEncryptionKeys(config); // a bad one is told now, before anything is begun
  const say = (line: string): void => void (config.production || out.write(`  ${line}\n`));
  const database = await openDatabase(config, { runMigrations: config.database.migrateOnStart, log: say });
  const logger = new PinoLogger(config);
  let app: NestFastifyApplication | undefined;
  const stop = async (): Promise<void> => {
    await app?.close();
    await database.close();
  };
  try {
    if (!config.production) logger.hold();
    for (const warning of database.warnings) logger.warn(warning, 'Database');
    app = await createServer(config, database.url, logger);
    await makeFirstAdministrator(app, config, say);
    await listen(app, config);
    await announce(app, config, database, say);
    return { app, url: addressOf(config), stop };
  } catch (error) {
    logger.release();
    await stop();
    throw explainLoss(error, database.url);
  } finally {
    logger.release();
  }
}

const addressOf = ({ http: { host, port } }: Config): string =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** A port that the system chose must be known before the first token names its issuer. */
async function withPort(config: Config): Promise<Config> {
  const { host, port } = config.http;
  if (port !== 0) return config;
  try {
    const chosen = await new Promise<number>((resolve, reject) => {
      const probe = createTcpServer().once('error', reject);
      probe.listen(0, host, () => {
        const address = probe.address();
        probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
      });
    });
    return { ...config, http: { ...config.http, port: chosen } };
  } catch (error) {
    throw cannotListen(error, config);
  }
}

function cannotListen(error: unknown, { http: { host, port } }: Config): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'EADDRINUSE')
    return new ConfigError([
      `PORT ${port} on ${host} is in use. Stop what uses it, or type: PORT=${port + 1} npm start`,
    ]);
  if (['EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'].includes(code))
    return new ConfigError([`HOST ${host} and PORT ${port} cannot be listened on (${code})`]);
  return error;
}

async function listen(app: NestFastifyApplication, config: Config): Promise<void> {
  try {
    await app.listen(config.http.port, config.http.host);
  } catch (error) {
    throw cannotListen(error, config);
  }
}

/** `2026-12-23 03:00 UTC` */
const at = (instant: number): string =>
  new Date(instant)
    .toISOString()
    .replace('T', ' ')
    .replace(/:\d\d\.\d+Z$/, ' UTC');

/** The first screen: every sentence on it was looked up, none assumed. */
async function announce(
  app: NestFastifyApplication,
  config: Config,
  database: OpenDatabase,
  say: (line: string) => void,
): Promise<void> {
  const ring = app.get(KeyRing);
  const signer = ring.signer();
  const standby = ring.standby();
  const signs = signer !== undefined && app.get(LocalKeyVault).opens(signer.version);
  say(`${database.description}${config.database.url === undefined ? '  (DATABASE_URL unset: for development)' : ''}`);
  if (database.migrated)
    say(
      `migrations ${database.migrated.known}, ${database.migrated.applied.length} applied now; serving as ${database.user}`,
    );
  else say(`serving as ${database.user}`);
  if (!signer) say('NO signing key is active: see the log below');
  else if (!signs)
    say(
      `signing key ${signer.kid} cannot be opened here: tokens are verified, none is signed, nobody can log in. Check KEK_FILE or KEK`,
    );
  else
    say(
      `signing key ${signer.kid} ${signer.algorithm} active${standby ? `; next key ${standby.kid} published, takes over ${at(standby.activatesAt)}` : ''}`,
    );
  // Whoever became administrator could not log in.
  if (!signer || signs) await announceSetup(app, config, say);
  const { issuer } = app.get(TokenSettings);
  const place = addressOf(config);
  if (issuer !== place) say(`issuer ${issuer}`);
  say(`app ${place}  docs /docs  keys /.well-known/jwks.json  health /health/ready`);
}

/** The one that the environment names, unless there is one. @throws ConfigError when it cannot be made as it is named */
async function makeFirstAdministrator(
  app: NestFastifyApplication,
  { firstAdministrator }: Config,
  say: (line: string) => void,
): Promise<void> {
  if (!firstAdministrator) return;
  try {
    const made = await app.get(UsersService).createFirstAdministrator(SYSTEM, firstAdministrator);
    if (made) say(`first administrator ${made.username} made from KEYTURN_ADMIN_USERNAME`);
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
    if (error.code === 'password_rejected')
      throw new ConfigError([`KEYTURN_ADMIN_PASSWORD cannot be used: ${error.message}`]);
    if (error.code === 'username_taken')
      throw new ConfigError([`KEYTURN_ADMIN_USERNAME cannot be used: ${error.message}`]);
    throw error;
  }
}

/** Where to become the first administrator. In production the address would lie in a log; the environment or the command line makes one. */
async function announceSetup(app: NestFastifyApplication, config: Config, say: (line: string) => void): Promise<void> {
  if (config.production || config.firstAdministrator) return;
  const code = await app.get(OneTimeCodes).issueSetupCode();
  if (code !== undefined) say(`first administrator: ${addressOf(config)}/setup?code=${code}  (once, 30 minutes)`);
}

function isExpected(error: unknown): error is Error {
  return error instanceof ConfigError || error instanceof DatabaseProblem || error instanceof EmbeddedPostgresError;
}
