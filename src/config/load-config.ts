import { resolve } from 'node:path';
import { formatDuration } from './duration.js';
import { SETTINGS, type Setting, type SettingValues } from './settings.js';
import type { Config } from './config.js';

/** Every problem of the configuration at once. No secret value is in it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration cannot be used:\n${problems.map((problem) => `  - ${problem}`).join('\n')}\nSee docs/configuration.md.`,
    );
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the configuration from environment variables.
 * @param needs `custody`: false for a command that opens and seals no private half: it wants no key-encryption key, in production either
 * @throws ConfigError naming every problem.
 */
export function loadConfig(environment: Environment, { custody = true } = {}): Config {
  const problems: string[] = [];
  return judged(readSettings(environment, problems), problems, custody);
}

/**
 * As the configuration would be if these settings were changed.
 * @throws ConfigError naming every value that cannot be read and every rule between settings that would be broken
 */
export function withSettings({ settings }: Config, changes: Readonly<Record<string, string>>): Config {
  const problems: string[] = [];
  const read = Object.entries(readSettings(changes, problems)).filter(([name]) => name in changes);
  return judged({ ...settings, ...Object.fromEntries(read) }, problems, false);
}

/** `NAME=value` with a setting that there is, as an entry; undefined when it is none. */
export function readAssignment(text: string): readonly [name: string, value: string] | undefined {
  const [, name, value] = /^([A-Z_]+)=(.+)$/.exec(text) ?? [];
  return name !== undefined && value !== undefined && Object.hasOwn(SETTINGS, name) ? [name, value] : undefined;
}

function judged(values: SettingValues, problems: string[], custody: boolean): Config {
  const unread = Object.keys(SETTINGS).filter((name) => problems.some((problem) => problem.startsWith(`${name} `)));
  const rules = [
    ...relationsBroken(values),
    ...(values.NODE_ENV === 'production' ? productionProblems(values, custody) : []),
  ];
  // A rule about a value that could not be read says nothing.
  problems.push(...rules.filter((rule) => !unread.some((name) => new RegExp(`\\b${name}\\b`).test(rule))));
  if (problems.length > 0) throw new ConfigError(problems);
  return toConfig(values);
}

function readSettings(environment: Environment, problems: string[]): SettingValues {
  const read = Object.entries<Setting>(SETTINGS).map(([name, { type, fallback, secret }]) => {
    const text = environment[name] || fallback;
    if (text === undefined) return [name, undefined];
    const parsed = type.safeParse(text);
    if (parsed.success) return [name, parsed.data];
    const shown = secret ? '' : ` is ${JSON.stringify(text)}, but`;
    problems.push(...parsed.error.issues.map((issue) => `${name}${shown} ${issue.message}`));
    return [name, undefined];
  });
  // Sound: each value was read by its own setting's type, and absent ones have no fallback.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see the line above; fromEntries cannot say it
  return Object.fromEntries(read) as SettingValues;
}

/** Rules between settings that hold everywhere (design of the key's life: lead ≥ C + R + σ, and tokens within L). */
function relationsBroken(values: SettingValues): string[] {
  const least = values.JWKS_MAX_AGE + values.KEY_REFRESH_BOUND + values.CLOCK_SKEW;
  const rules: readonly (readonly [boolean, string])[] = [
    [
      values.KEY_PUBLISH_LEAD >= least,
      `KEY_PUBLISH_LEAD must be at least JWKS_MAX_AGE + KEY_REFRESH_BOUND + CLOCK_SKEW = ${formatDuration(least)}, so that every cache knows a key before it signs`,
    ],
    [
      values.KEY_ROTATION_INTERVAL >= values.KEY_PUBLISH_LEAD,
      'KEY_ROTATION_INTERVAL must be at least KEY_PUBLISH_LEAD: a successor must be public in time',
    ],
    [values.ACCESS_TOKEN_TTL <= values.KEY_MAX_TOKEN_TTL, 'ACCESS_TOKEN_TTL must be at most KEY_MAX_TOKEN_TTL'],
    [values.CLOCK_SKEW <= 60_000, 'CLOCK_SKEW must be at most 60s'],
    [
      values.KEY_POLL_INTERVAL * 4 <= values.KEY_REFRESH_BOUND,
      'KEY_REFRESH_BOUND must be at least four times KEY_POLL_INTERVAL',
    ],
    [values.KEY_OFFLINE_LIMIT >= values.KEY_REFRESH_BOUND, 'KEY_OFFLINE_LIMIT must be at least KEY_REFRESH_BOUND'],
    [values.SESSION_IDLE_TIMEOUT <= values.SESSION_MAX_AGE, 'SESSION_IDLE_TIMEOUT must be at most SESSION_MAX_AGE'],
    [values.KEK === undefined || values.KEK_FILE === undefined, 'Set KEK_FILE or KEK, not both'],
    [
      (values.KEYTURN_ADMIN_USERNAME === undefined) === (values.KEYTURN_ADMIN_PASSWORD === undefined),
      'KEYTURN_ADMIN_USERNAME and KEYTURN_ADMIN_PASSWORD go together',
    ],
    [
      values.MIGRATION_DATABASE_URL === undefined || values.DATABASE_URL !== undefined,
      'MIGRATION_DATABASE_URL needs DATABASE_URL',
    ],
  ];
  return rules.filter(([holds]) => !holds).map(([, rule]) => rule);
}

function productionProblems(values: SettingValues, custody: boolean): string[] {
  const rules: readonly (readonly [boolean, string])[] = [
    [
      values.DATABASE_URL !== undefined,
      'DATABASE_URL is missing: in production Keyturn uses your Postgres and starts none of its own',
    ],
    [
      !custody || values.KEK_FILE !== undefined || values.KEK !== undefined,
      'KEK_FILE is missing: in production you keep the key-encryption key. Make one with: keyturn kek new',
    ],
    [
      values.ISSUER?.startsWith('https://') === true,
      'ISSUER must be the https:// URL under which this service is known',
    ],
  ];
  return rules.filter(([holds]) => !holds).map(([, rule]) => rule);
}

function toConfig(values: SettingValues): Config {
  const modulusLengths = { '2048': 2048, '3072': 3072, '4096': 4096 } as const;
  const { KEYTURN_ADMIN_USERNAME: username, KEYTURN_ADMIN_PASSWORD: password } = values;
  return {
    settings: values,
    production: values.NODE_ENV === 'production',
    http: {
      host: values.HOST,
      port: values.PORT,
      shutdownGrace: values.SHUTDOWN_GRACE,
      trustedProxies: values.TRUSTED_PROXIES?.split(',').map((proxy) => proxy.trim()) ?? [],
    },
    metrics: { token: values.METRICS_TOKEN, bind: values.METRICS_BIND },
    dataDir: resolve(values.KEYTURN_DATA_DIR),
    tokens: {
      issuer: values.ISSUER,
      audience: values.AUDIENCE,
      clientId: values.CLIENT_ID,
      accessTokenTtl: values.ACCESS_TOKEN_TTL,
    },
    database: {
      url: values.DATABASE_URL,
      migrationUrl: values.MIGRATION_DATABASE_URL ?? values.DATABASE_URL,
      auditorUrl: values.AUDITOR_DATABASE_URL,
      migrateOnStart: values.MIGRATE_ON_START === 'true',
      poolSize: values.DATABASE_POOL_SIZE,
      pooler: values.DATABASE_POOLER,
      timeout: values.DATABASE_TIMEOUT,
    },
    keys: {
      algorithm: values.KEY_ALGORITHM,
      modulusLength: modulusLengths[values.RSA_MODULUS_LENGTH],
      rotationInterval: values.KEY_ROTATION_INTERVAL,
      publishLead: values.KEY_PUBLISH_LEAD,
      jwksMaxAge: values.JWKS_MAX_AGE,
      maxTokenTtl: values.KEY_MAX_TOKEN_TTL,
      clockSkew: values.CLOCK_SKEW,
      refreshBound: values.KEY_REFRESH_BOUND,
      pollInterval: values.KEY_POLL_INTERVAL,
      offlineLimit: values.KEY_OFFLINE_LIMIT,
      kekFile: values.KEK_FILE,
      kek: values.KEK,
    },
    sessions: {
      idleTimeout: values.SESSION_IDLE_TIMEOUT,
      maxAge: values.SESSION_MAX_AGE,
      refreshGrace: values.REFRESH_GRACE,
      keep: values.SESSION_KEEP,
    },
    firstAdministrator: username !== undefined && password !== undefined ? { username, password } : undefined,
    loginHistoryKeep: values.LOGIN_HISTORY_KEEP,
    throttling: {
      attempts: values.LOGIN_ATTEMPTS,
      attemptsByName: values.LOGIN_ATTEMPTS_BY_NAME,
      attemptsByAddress: values.LOGIN_ATTEMPTS_BY_ADDRESS,
      interval: values.LOGIN_ATTEMPT_INTERVAL,
      slowdown: values.LOGIN_SLOWDOWN,
    },
    passwordHash: {
      memory: values.PASSWORD_HASH_MEMORY * 1_024,
      passes: values.PASSWORD_HASH_PASSES,
      concurrency: values.PASSWORD_HASH_CONCURRENCY,
    },
    logLevel: values.LOG_LEVEL,
  };
}
