import type { Algorithm, SettingValues } from './settings.js';

/** What the whole server is configured with. Lengths of time are milliseconds. */
export interface Config {
  /** All of it as it was read, for those who ask how things would be with another value. Holds secrets. */
  readonly settings: SettingValues;
  readonly production: boolean;
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly trustedProxies: readonly string[];
    readonly shutdownGrace: number;
  };
  readonly metrics: {
    readonly token: string | undefined;
    readonly bind: { readonly host: string; readonly port: number } | undefined;
  };
  readonly dataDir: string;
  readonly tokens: {
    /** Undefined until the port is known: then `http://host:port`. */
    readonly issuer: string | undefined;
    readonly audience: string | undefined;
    readonly clientId: string;
    readonly accessTokenTtl: number;
  };
  readonly database: {
    /** Undefined: the embedded server. Holds a password. */
    readonly url: string | undefined;
    readonly migrationUrl: string | undefined;
    readonly auditorUrl: string | undefined;
    readonly migrateOnStart: boolean;
    readonly poolSize: number;
    readonly pooler: 'none' | 'transaction';
    readonly timeout: number;
  };
  readonly keys: KeyPolicy & {
    readonly pollInterval: number;
    readonly offlineLimit: number;
    readonly kekFile: string | undefined;
    readonly kek: string | undefined;
  };
  readonly sessions: {
    readonly idleTimeout: number;
    readonly maxAge: number;
    readonly refreshGrace: number;
    readonly keep: number;
  };
  readonly loginHistoryKeep: number;
  readonly firstAdministrator: { readonly username: string; readonly password: string } | undefined;
  readonly throttling: {
    readonly attempts: number;
    readonly attemptsByName: number;
    /** Wrong passwords of strangers, for whatever names. */
    readonly attemptsByAddress: number;
    readonly interval: number;
    readonly slowdown: number;
  };
  readonly passwordHash: {
    /** KiB. */
    readonly memory: number;
    readonly passes: number;
    readonly concurrency: number;
  };
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'silent';
}

/** The rules that keys are made and judged by; a change touches no key that exists. */
export interface KeyPolicy {
  readonly algorithm: Algorithm;
  readonly modulusLength: 2048 | 3072 | 4096;
  readonly rotationInterval: number;
  readonly publishLead: number;
  readonly jwksMaxAge: number;
  readonly maxTokenTtl: number;
  readonly clockSkew: number;
  readonly refreshBound: number;
}

/** Injection token of the configuration: `@Inject(CONFIG) config: Config`. */
export const CONFIG = Symbol('keyturn.config');
