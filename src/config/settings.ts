import { z } from 'zod';
import { newUsername } from '../common/text.js';
import { duration } from './duration.js';
import { address, httpUrl, integer, networks, oneOf, postgresUrl } from './setting-types.js';

/** One environment variable: how its text is read, what holds without it, and what it is for. */
export interface Setting<T = unknown> {
  readonly type: z.ZodType<T, string>;
  /** Text that holds when the variable is unset or empty; undefined: the setting may be absent. */
  readonly fallback: string | undefined;
  readonly about: string;
  /** Its value is never shown. */
  readonly secret: boolean;
}

const setting = <T>(type: z.ZodType<T, string>, fallback: string, about: string) =>
  ({ type, fallback, about, secret: false }) as const;
const optional = <T>(type: z.ZodType<T, string>, about: string, secret = false) =>
  ({ type, fallback: undefined, about, secret }) as const;

/** Algorithms a signing key may have (RFC 7518 section 3.1). */
export const ALGORITHMS = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512'] as const),
] as const;

/** JWS algorithm of a signing key. */
export type Algorithm = (typeof ALGORITHMS)[number];

/** Every setting of Keyturn, in the order a reader wants them. The one owner of their names, defaults and meaning. */
export const SETTINGS = {
  NODE_ENV: setting(
    oneOf(['development', 'production', 'test']),
    'development',
    'production refuses what is only good for development: the embedded database, an http issuer, a key-encryption key made on the spot.',
  ),
  HOST: setting(z.string().min(1), '127.0.0.1', 'Address the server listens on.'),
  PORT: setting(integer(0, 65535), '3000', 'Port the server listens on; 0 lets the system choose.'),
  KEYTURN_DATA_DIR: setting(
    z.string().min(1),
    '.keyturn',
    'Where the embedded database, its passwords and the development key-encryption key live.',
  ),
  ISSUER: optional(
    httpUrl,
    'Public URL of this service: claim `iss` of every token. Default: `http://HOST:PORT`, in development only.',
  ),
  AUDIENCE: optional(z.string().min(1), 'Claim `aud` of every token. Default: the issuer.'),
  CLIENT_ID: setting(z.string().min(1), 'keyturn-web', 'Claim `client_id` of every token (RFC 9068).'),
  TRUSTED_PROXIES: optional(
    networks,
    'Comma-separated addresses or CIDR ranges whose `X-Forwarded-*` headers are believed. Default: none.',
  ),
  SHUTDOWN_GRACE: setting(
    duration(0, 600_000),
    '1s',
    'How long a server that gets SIGTERM goes on serving, not ready any more, before it closes: time for a balancer to notice. SIGINT does not wait.',
  ),

  DATABASE_URL: optional(
    postgresUrl,
    'Postgres 14 or newer, as `keyturn_app`. Default: an embedded server, in development only.',
    true,
  ),
  MIGRATION_DATABASE_URL: optional(
    postgresUrl,
    'Postgres as `keyturn_migrator`, where the DBA separates duties. Default: `DATABASE_URL`.',
    true,
  ),
  AUDITOR_DATABASE_URL: optional(
    postgresUrl,
    'Postgres as `keyturn_auditor`, for `keyturn sql --as auditor`. Default: the embedded server.',
    true,
  ),
  MIGRATE_ON_START: setting(oneOf(['true', 'false']), 'true', 'Apply pending migrations before the server listens.'),
  DATABASE_POOL_SIZE: setting(integer(2, 200), '10', 'Connections each server keeps at most.'),
  DATABASE_POOLER: setting(
    oneOf(['none', 'transaction']),
    'none',
    '`transaction`: a pooler such as PgBouncer stands between; timeouts then come from the role, not from the connection.',
  ),
  DATABASE_TIMEOUT: setting(duration(100, 600_000), '2s', 'How long a connection, and each statement, may take.'),

  KEY_ALGORITHM: setting(
    oneOf(ALGORITHMS),
    'RS256',
    'Algorithm of the keys made from now on; keys that exist keep theirs.',
  ),
  RSA_MODULUS_LENGTH: setting(oneOf(['2048', '3072', '4096']), '2048', 'Bits of the RSA keys made from now on.'),
  KEY_ROTATION_INTERVAL: setting(duration(60_000), '30d', 'How long a key signs.'),
  KEY_PUBLISH_LEAD: setting(
    duration(),
    '1h',
    'How long a key is public, at least, before it may sign. At least JWKS_MAX_AGE + KEY_REFRESH_BOUND + CLOCK_SKEW.',
  ),
  JWKS_MAX_AGE: setting(duration(1_000), '10min', 'How long others may cache the public keys.'),
  KEY_MAX_TOKEN_TTL: setting(duration(1_000), '1h', 'Longest life of a token, stamped on each key.'),
  ACCESS_TOKEN_TTL: setting(
    duration(1_000),
    '15min',
    'Life of an access token. At most KEY_MAX_TOKEN_TTL of the keys that sign.',
  ),
  CLOCK_SKEW: setting(duration(0), '30s', 'How far clocks may differ. At most 60s.'),
  KEY_POLL_INTERVAL: setting(duration(50, 60_000), '500ms', 'How often a server asks the database for news.'),
  KEY_REFRESH_BOUND: setting(duration(1_000), '30s', 'Silence after which a server counts as cut off.'),
  KEY_OFFLINE_LIMIT: setting(
    duration(1_000),
    '5min',
    'How long a server cut off from the database goes on verifying; then it answers 503.',
  ),
  KEK_FILE: optional(
    z.string().min(1),
    'File with the key-encryption keys, mode 0600: one `id:base64` a line, 32 bytes each, the first current. Default: made in the data directory, in development only.',
  ),
  KEK: optional(z.string().min(1), 'The same as text, lines or commas between keys, where a file cannot be had.', true),

  SESSION_IDLE_TIMEOUT: setting(duration(1_000), '7d', 'A session ends when it is not refreshed for so long.'),
  SESSION_MAX_AGE: setting(duration(1_000), '30d', 'A session ends then in any case.'),
  REFRESH_GRACE: setting(
    duration(0),
    '10s',
    'How long a spent refresh token gets the same successor again, for a client that lost the answer.',
  ),
  SESSION_KEEP: setting(
    duration(2 * 86_400_000),
    '30d',
    'How long rows of sessions stay that ended or reached their limit, and of one-time codes that ran out; then they are deleted.',
  ),
  LOGIN_HISTORY_KEEP: setting(
    duration(30 * 86_400_000),
    '400d',
    'How long it is kept who logged in, from where, and who failed. By whole months: up to a month longer; then put away for 30 days, and dropped.',
  ),
  KEYTURN_ADMIN_USERNAME: optional(
    z
      .string()
      .refine(
        (name) => newUsername.safeParse(name).success,
        'must be 1 to 254 characters without white space, control or invisible characters',
      ),
    'With KEYTURN_ADMIN_PASSWORD: the first administrator, made at the very first start. Never overwrites one that exists.',
  ),
  KEYTURN_ADMIN_PASSWORD: optional(z.string().min(1), 'Its password.', true),
  LOGIN_ATTEMPTS: setting(
    integer(1, 1_000_000),
    '10',
    'Wrong passwords at once for one name, existing or not, from one address (IPv6: one /64), or on one device that has logged in before; also wrong codes from one address, and wrong current passwords in one session. Then 429.',
  ),
  LOGIN_ATTEMPT_INTERVAL: setting(duration(1_000, 86_400_000), '1min', 'How long until one attempt more is allowed.'),
  LOGIN_ATTEMPTS_BY_NAME: setting(
    integer(1, 1_000_000),
    '100',
    'Wrong passwords at once for one name from all strangers together. Beyond, every stranger’s login with that name takes LOGIN_SLOWDOWN longer; none is refused. Also on all devices together that have logged in before with that name; beyond, those are strangers.',
  ),
  LOGIN_ATTEMPTS_BY_ADDRESS: setting(
    integer(1, 1_000_000),
    '100',
    'Wrong passwords at once for all names from one address (IPv6: one /64), but those of devices that have logged in before with that name. Then 429 for everybody there who comes on another device. Raise it where many people share an address (NAT).',
  ),
  LOGIN_SLOWDOWN: setting(duration(0, 10_000), '2s', 'How much longer.'),
  PASSWORD_HASH_MEMORY: setting(
    integer(19, 4_096),
    '19',
    'MiB that a password hash takes (Argon2id, m; OWASP: 19 at least). Hashes made with less are made anew at the next login.',
  ),
  PASSWORD_HASH_PASSES: setting(
    integer(2, 100),
    '2',
    'Passes of a password hash over its memory (Argon2id, t; OWASP: 2 at least). The same holds.',
  ),
  PASSWORD_HASH_CONCURRENCY: setting(
    integer(1, 64),
    '2',
    'Password hashes computed at once; each takes PASSWORD_HASH_MEMORY.',
  ),

  METRICS_TOKEN: optional(
    z.string().regex(/^[\x21-\x7e]{16,}$/, 'must have at least 16 visible ASCII characters'),
    'What Prometheus sends as `Authorization: Bearer` to `GET /metrics`. Default: there are no metrics, unless METRICS_BIND is set.',
    true,
  ),
  METRICS_BIND: optional(
    address,
    'Address of its own for `/metrics`, as `host:port`, which the public should not reach: it wants METRICS_TOKEN only where that is set. Default: the address of everything else.',
  ),

  LOG_LEVEL: setting(
    oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'silent']),
    'info',
    'Least grave line that is logged.',
  ),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
type TypeOf<N extends SettingName> = z.output<(typeof SETTINGS)[N]['type']>;

/** Every setting, read. Those without a fallback may be undefined. */
export type SettingValues = {
  readonly [N in SettingName]: (typeof SETTINGS)[N]['fallback'] extends string ? TypeOf<N> : TypeOf<N> | undefined;
};
