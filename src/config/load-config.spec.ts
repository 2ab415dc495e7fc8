import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { formatDuration, parseDuration } from './duration.js';
import { ConfigError, loadConfig, type Environment } from './load-config.js';
import { SETTINGS } from './settings.js';

const production: Environment = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://keyturn_app@db.example.com/keyturn',
  KEK_FILE: '/etc/keyturn/kek',
  ISSUER: 'https://login.example.com',
};

/** What is wrong with this environment; nothing when it can be used. */
function problemsOf(environment: Environment): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('without any variable', () => {
  it('is development with an embedded database on loopback', () => {
    expect(loadConfig({})).toMatchObject({
      production: false,
      http: { host: '127.0.0.1', port: 3000, trustedProxies: [] },
      database: { url: undefined, migrationUrl: undefined, auditorUrl: undefined, migrateOnStart: true },
      tokens: { issuer: undefined, audience: undefined, accessTokenTtl: 900_000 },
      keys: { algorithm: 'RS256', modulusLength: 2048, rotationInterval: 30 * 86_400_000, kekFile: undefined },
      firstAdministrator: undefined,
    });
  });

  it('reads what it is given', () => {
    expect(
      loadConfig({
        PORT: '0',
        TRUSTED_PROXIES: '10.0.0.1, 10.1.0.0/16',
        MIGRATE_ON_START: 'false',
        METRICS_BIND: '[::1]:9464',
      }),
    ).toMatchObject({
      http: { port: 0, trustedProxies: ['10.0.0.1', '10.1.0.0/16'] },
      database: { migrateOnStart: false },
      metrics: { bind: { host: '::1', port: 9464 }, token: undefined },
    });
  });

  it('migrates with the rights it serves with, unless told otherwise', () => {
    const served = { DATABASE_URL: 'postgresql://db/keyturn' };
    expect(loadConfig(served).database.migrationUrl).toBe('postgresql://db/keyturn');
    const separate = { ...served, MIGRATION_DATABASE_URL: 'postgres://keyturn_migrator@db/keyturn' };
    expect(loadConfig(separate).database.migrationUrl).toBe(separate.MIGRATION_DATABASE_URL);
  });
});

it('takes an empty string for unset, whatever the setting', () => {
  const empty = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, '']));

  expect(loadConfig(empty)).toEqual(loadConfig({}));
});

it('overlooks variables that are not its own', () => {
  expect(loadConfig({ PATH: '/usr/bin', KEY_ALGORITHMS: 'none' })).toEqual(loadConfig({}));
});

describe('values that cannot be read', () => {
  it.each<[name: string, value: string, problem: RegExp]>([
    ['NODE_ENV', 'prod', /^NODE_ENV is "prod", but must be one of development, production, test$/],
    ['PORT', '65536', /^PORT is "65536", but must be a whole number from 0 to 65535$/],
    ['PORT', '-1', /whole number/],
    ['PORT', '3000.5', /whole number/],
    ['PORT', '0x10', /whole number/],
    ['DATABASE_POOL_SIZE', '1', /from 2 to 200/],
    ['PASSWORD_HASH_CONCURRENCY', '0', /from 1 to 64/],
    ['PASSWORD_HASH_MEMORY', '18', /from 19 to 4096/],
    ['PASSWORD_HASH_PASSES', '1', /from 2 to 100/],
    ['LOGIN_ATTEMPTS', '0', /from 1 to 1000000/],
    ['MIGRATE_ON_START', 'yes', /one of true, false/],
    ['KEY_ALGORITHM', 'none', /one of RS256, /],
    ['KEY_ALGORITHM', 'rs256', /one of RS256, /],
    ['KEY_ALGORITHM', 'EdDSA', /one of RS256, /],
    ['RSA_MODULUS_LENGTH', '1024', /one of 2048, 3072, 4096/],
    ['ISSUER', 'login.example.com', /http or https URL/],
    ['ISSUER', 'javascript:alert(1)', /http or https URL/],
    ['ISSUER', 'https://login.example.com/?tenant=1', /without query or fragment/],
    ['ISSUER', 'https://login.example.com/#top', /without query or fragment/],
    ['KEY_ROTATION_INTERVAL', '30', /length of time/],
    ['KEY_ROTATION_INTERVAL', '59s', /from 1min to/],
    ['KEY_ROTATION_INTERVAL', '9999d', /to 3650d/],
    ['TRUSTED_PROXIES', '10.0.0.0/8,proxy', /CIDR ranges/],
    ['TRUSTED_PROXIES', '10.0.0.0/33', /CIDR ranges/],
    ['METRICS_BIND', '::1:9464', /host:port, an IPv6 address in brackets/],
    ['METRICS_BIND', '127.0.0.1:99999', /host:port/],
    ['METRICS_TOKEN', 'too short', /^METRICS_TOKEN must have at least 16/],
    ['KEY_POLL_INTERVAL', '10ms', /from 50ms to 1min/],
    ['LOG_LEVEL', 'trace', /one of fatal, /],
    ['DATABASE_URL', 'mysql://db/keyturn', /^DATABASE_URL must begin with postgres:/],
    ['DATABASE_URL', 'postgres://app:qxz/jqx@db/keyturn', /^DATABASE_URL is no URL: .* such as %2F for \/$/],
    ['DATABASE_URL', 'postgres://app:qxz%zz@db/keyturn', /^DATABASE_URL is no URL: /],
    ['AUDITOR_DATABASE_URL', 'postgres://auditor:qxz#jqx@db/keyturn', /^AUDITOR_DATABASE_URL is no URL: /],
  ])('%s=%s', (name, value, problem) => {
    expect(problemsOf({ [name]: value })).toEqual([expect.stringMatching(problem)]);
  });

  it('are named together with the rules that do not hold', () => {
    const problems = problemsOf({ PORT: 'abc', NODE_ENV: 'production' });
    expect(problems.map((problem) => problem.split(' ')[0])).toEqual(['PORT', 'DATABASE_URL', 'KEK_FILE', 'ISSUER']);
  });

  it('are all named at once', () => {
    const problems = problemsOf({ PORT: 'http', KEY_ALGORITHM: 'none', ACCESS_TOKEN_TTL: 'soon', LOG_LEVEL: 'loud' });

    expect(problems.map((problem) => problem.split(' ')[0])).toEqual([
      'PORT',
      'KEY_ALGORITHM',
      'ACCESS_TOKEN_TTL',
      'LOG_LEVEL',
    ]);
  });

  it('are named in one message that says where to read on', () => {
    expect(() => loadConfig({ PORT: 'x', HOST: '', LOG_LEVEL: 'y' })).toThrow(
      'The configuration cannot be used:\n' +
        '  - PORT is "x", but must be a whole number from 0 to 65535\n' +
        '  - LOG_LEVEL is "y", but must be one of fatal, error, warn, info, debug, silent\n' +
        'See docs/configuration.md.',
    );
  });

  it('never break anything but the configuration', () => {
    const anything = fc.dictionary(fc.constantFrom(...Object.keys(SETTINGS)), fc.string({ unit: 'binary' }));

    fc.assert(fc.property(anything, (environment) => problemsOf(environment).every((problem) => problem !== '')));
  });
});

describe('secrets', () => {
  const secrets = Object.entries(SETTINGS).flatMap(([name, { secret }]) => (secret ? [name] : []));

  it('are the connection strings, the key-encryption keys, the password and the token of the metrics', () => {
    expect(secrets).toEqual([
      'DATABASE_URL',
      'MIGRATION_DATABASE_URL',
      'AUDITOR_DATABASE_URL',
      'KEK',
      'KEYTURN_ADMIN_PASSWORD',
      'METRICS_TOKEN',
    ]);
  });

  it('are in no message, whatever is wrong', () => {
    // Letters that no message of ours has beside each other.
    const value = fc.tuple(
      fc.constantFrom('', 'postgres://', 'postgres://app:%', 'postgres://app:/', 'mysql://'),
      fc.stringMatching(/^[qxzj]{8,20}$/),
    );
    const environment = fc.dictionary(fc.constantFrom(...secrets), value);

    fc.assert(
      fc.property(environment, fc.boolean(), (chosen, inProduction) => {
        const shown = problemsOf({
          ...(inProduction ? { NODE_ENV: 'production' } : { KEK_FILE: '/etc/keyturn/kek' }),
          ...Object.fromEntries(Object.entries(chosen).map(([name, parts]) => [name, parts.join('')])),
        }).join('\n');
        return Object.values(chosen).every(([, hidden]) => !shown.includes(hidden));
      }),
    );
  });
});

describe('lengths of time', () => {
  it.each<[text: string, milliseconds: number | undefined]>([
    ['500ms', 500],
    ['30s', 30_000],
    ['10min', 600_000],
    ['1h', 3_600_000],
    ['30d', 2_592_000_000],
    ['0s', 0],
    [' 30s ', 30_000],
    ['030s', 30_000],
    ['30', undefined],
    ['30 s', undefined],
    ['1.5h', undefined],
    ['-1s', undefined],
    ['+1s', undefined],
    ['1e3s', undefined],
    ['10m', undefined],
    ['1H', undefined],
    ['1w', undefined],
    ['1h30min', undefined],
    ['Infinity', undefined],
    ['1constructor', undefined],
    ['1000000000s', undefined],
    ['', undefined],
  ])('reads %j as %j', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each<[milliseconds: number, text: string]>([
    [86_400_000, '1d'],
    [5_400_000, '90min'],
    [61_000, '61s'],
    [1_500, '1500ms'],
  ])('writes %j as %j', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  it('reads what it wrote', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999_999 }), (time) => parseDuration(formatDuration(time)) === time),
    );
  });
});

describe('relations', () => {
  it.each<[problem: RegExp, environment: Environment]>([
    [/^KEY_PUBLISH_LEAD must be at least .* = 11min,/, { KEY_PUBLISH_LEAD: '659s' }],
    [/^KEY_PUBLISH_LEAD must be at least .* = 61min,/, { JWKS_MAX_AGE: '1h' }],
    [/^KEY_ROTATION_INTERVAL must be at least KEY_PUBLISH_LEAD/, { KEY_ROTATION_INTERVAL: '59min' }],
    [/^ACCESS_TOKEN_TTL must be at most KEY_MAX_TOKEN_TTL$/, { ACCESS_TOKEN_TTL: '61min' }],
    [/^CLOCK_SKEW must be at most 60s$/, { CLOCK_SKEW: '61s' }],
    [/^KEY_REFRESH_BOUND must be at least four times KEY_POLL_INTERVAL$/, { KEY_POLL_INTERVAL: '7501ms' }],
    [/^KEY_OFFLINE_LIMIT must be at least KEY_REFRESH_BOUND$/, { KEY_OFFLINE_LIMIT: '29s' }],
    [/^SESSION_IDLE_TIMEOUT must be at most SESSION_MAX_AGE$/, { SESSION_IDLE_TIMEOUT: '31d' }],
    [/^Set KEK_FILE or KEK, not both$/, { KEK: 'a', KEK_FILE: 'b' }],
    [/^KEYTURN_ADMIN_USERNAME and KEYTURN_ADMIN_PASSWORD go together$/, { KEYTURN_ADMIN_USERNAME: 'anna' }],
    [/^KEYTURN_ADMIN_USERNAME and KEYTURN_ADMIN_PASSWORD go together$/, { KEYTURN_ADMIN_PASSWORD: 'x' }],
    [/^MIGRATION_DATABASE_URL needs DATABASE_URL$/, { MIGRATION_DATABASE_URL: 'postgres://db/keyturn' }],
  ])('%s', (problem, environment) => {
    expect(problemsOf(environment)).toEqual([expect.stringMatching(problem)]);
  });

  it.each<[environment: Environment]>([
    [{ KEY_PUBLISH_LEAD: '11min' }],
    [{ KEY_ROTATION_INTERVAL: '1h' }],
    [{ ACCESS_TOKEN_TTL: '1h' }],
    [{ CLOCK_SKEW: '60s' }],
    [{ KEY_POLL_INTERVAL: '7500ms' }],
    [{ KEY_OFFLINE_LIMIT: '30s' }],
    [{ SESSION_IDLE_TIMEOUT: '30d' }],
  ])('hold at the very limit: %j', (environment) => {
    expect(problemsOf(environment)).toEqual([]);
  });

  it('let no key sign before every cache can know it, and no token outlive what its key allows', () => {
    const length = fc.integer({ min: 1, max: 120 }).map((minutes) => minutes * 60_000);
    const chosen = fc.record({ lead: length, maxAge: length, interval: length, ttl: length, maxTtl: length });

    fc.assert(
      fc.property(chosen, ({ lead, maxAge, interval, ttl, maxTtl }) => {
        const accepted =
          problemsOf({
            KEY_PUBLISH_LEAD: formatDuration(lead),
            JWKS_MAX_AGE: formatDuration(maxAge),
            KEY_ROTATION_INTERVAL: formatDuration(interval),
            ACCESS_TOKEN_TTL: formatDuration(ttl),
            KEY_MAX_TOKEN_TTL: formatDuration(maxTtl),
          }).length === 0;
        return accepted === (lead >= maxAge + 60_000 && interval >= lead && ttl <= maxTtl);
      }),
    );
  });
});

describe('in production', () => {
  it('asks for a database, a key-encryption key and an https issuer, all in one message', () => {
    expect(problemsOf({ NODE_ENV: 'production', SESSION_IDLE_TIMEOUT: '31d' })).toEqual([
      expect.stringMatching(/^SESSION_IDLE_TIMEOUT /),
      expect.stringMatching(/^DATABASE_URL is missing: in production Keyturn uses your Postgres/),
      expect.stringMatching(/^KEK_FILE is missing: .* keyturn kek new$/),
      expect.stringMatching(/^ISSUER must be the https:\/\/ URL/),
    ]);
  });

  it('is content with them', () => {
    expect(loadConfig(production)).toMatchObject({ production: true, tokens: { issuer: production['ISSUER'] } });
  });

  it('is content with KEK in place of KEK_FILE', () => {
    expect(problemsOf({ ...production, KEK_FILE: '', KEK: 'in place of a file' })).toEqual([]);
  });

  it('refuses an http issuer', () => {
    expect(problemsOf({ ...production, ISSUER: 'http://login.example.com' })).toEqual([
      'ISSUER must be the https:// URL under which this service is known',
    ]);
  });

  it('is production only when it is said: development and test are not', () => {
    expect(problemsOf({ NODE_ENV: 'test' })).toEqual([]);
    expect(loadConfig({ NODE_ENV: 'test' }).production).toBe(false);
  });
});
