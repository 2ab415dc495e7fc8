import type { ClientBase } from 'pg';
import { AccessTokenVerifier, TokenRefused } from '../../../src/auth/token/access-token-verifier.js';
import { TokenIssuer } from '../../../src/auth/token/token-issuer.js';
import { SessionStore } from '../../../src/auth/session/session-store.js';
import { KeyturnError } from '../../../src/common/errors.js';
import type { KeyPolicy } from '../../../src/config/config.js';
import { DatabaseClock } from '../../../src/database/database-clock.js';
import { News } from '../../../src/database/news.js';
import { KeyRefresh } from '../../../src/keys/ring/key-refresh.js';
import { KeyRing } from '../../../src/keys/ring/key-ring.js';
import { LocalKeyVault } from '../../../src/keys/vault/local-key-vault.js';
import type { User } from '../../../src/users/user.entity.js';
import { only } from '../../support/signing-keys.js';
import { startTestApp, type TestApp } from '../../support/test-app.js';
import type { TestDatabase } from '../../support/test-database.js';
import { claimsOf, kidOf } from './client.js';
import { isSigner, type Snapshot } from './ring-rules.js';
import { Severing } from './severed.js';

/** One of the servers over the one database. */
export interface RingServer {
  readonly app: TestApp;
  readonly policy: KeyPolicy & { readonly offlineLimit: number };
  readonly severing: Severing;
  /** How far its idea of the database's time is off, in milliseconds. */
  drift: number;
  /** For how long it has heard nothing, in the time that the database lives in. */
  silence: number;
}

interface Token {
  readonly text: string;
  readonly kid: string;
  readonly iat: number;
  readonly exp: number;
  /** When its key was first seen revoked: the newest key event of that moment. */
  deadSince: number | undefined;
}

/** Tokens that are looked at after each step. */
const REMEMBERED = 5;
/** How far a server's time may be off: two servers that are off in opposite directions stay within CLOCK_SKEW. */
export const MOST_DRIFT = 14_000;

/** Servers that share a database, the time they live in, and the tokens they have issued. */
export class RingWorld {
  private shift = 0;
  private user: Pick<User, 'id' | 'passwordChangedAt'> | undefined;
  private tokens: Token[] = [];
  /** How often tokens were judged in which way. */
  readonly verdicts = new Map<string, number>();

  private constructor(
    readonly database: TestDatabase,
    readonly db: ClientBase,
    readonly servers: readonly RingServer[],
  ) {}

  /** @param settings one set a server: they agree on everything but policy */
  static async begin(
    database: TestDatabase,
    settings: readonly Readonly<Record<string, string>>[],
  ): Promise<RingWorld> {
    const db = await database.connect('superuser');
    const servers: RingServer[] = [];
    let kek: string | undefined;
    for (const each of settings) {
      const app = await startTestApp({
        database,
        settings: {
          ISSUER: 'http://keyturn.test',
          KEY_ALGORITHM: 'ES256',
          ...each,
          ...(kek !== undefined && { KEK: kek }),
        },
      });
      ({ kek } = app);
      // Each server hears when it is told to.
      app.app.get(News).onApplicationShutdown();
      servers.push({ app, policy: app.config.keys, severing: new Severing(app, db), drift: 0, silence: 0 });
      await database.reset();
    }
    return new RingWorld(database, db, servers);
  }

  async end(): Promise<void> {
    for (const { app } of this.servers) await app.close();
  }

  server(index: number): RingServer {
    const server = this.servers[index % this.servers.length];
    if (!server) throw new Error('there are no servers');
    return server;
  }

  /** A history begins: nothing is there, and nobody remembers anything. */
  async startAnew(): Promise<void> {
    await this.database.reset();
    this.shift = 0;
    this.tokens = [];
    for (const server of this.servers) {
      server.app.app.get(KeyRing).generation = -1;
      // Or the first news would say that an older copy of the database was restored, and everything be made anew.
      Reflect.set(server.app.app.get(News), 'place', undefined);
      await server.app.app.get(KeyRefresh).load();
      server.drift = 0;
      server.silence = 0;
      this.setClock(server);
    }
    await this.comeAgain();
  }

  /** Somebody who can log in. To hash a password for them would take longer than the rest. */
  private async comeAgain(): Promise<void> {
    this.user = only(
      await this.db.query<Pick<User, 'id' | 'passwordChangedAt'>>(
        `INSERT INTO keyturn.users (username, password_hash) VALUES ('anna', '$argon2id$none')
         RETURNING id, password_changed_at AS "passwordChangedAt"`,
      ),
    );
  }

  /** Time passes, for the database and on every machine. */
  async pass(milliseconds: number): Promise<void> {
    await this.database.moveClock(milliseconds);
    this.shift += milliseconds;
    for (const server of this.servers) {
      server.silence += milliseconds;
      this.setClock(server);
      // However often it looked for a kid that nobody knew: that was long ago.
      Reflect.set(server.app.app.get(KeyRefresh), 'lastMissAt', -Infinity);
    }
  }

  /** A server hears the news, and does what is to be done. */
  async hear(server: RingServer): Promise<void> {
    await server.app.hearNews();
    server.silence = 0;
    this.setClock(server);
  }

  setClock({ app, drift, silence }: RingServer): void {
    const now = performance.now();
    const clock = app.app.get(DatabaseClock);
    clock.observe(Date.now() + this.shift + drift, now, now);
    clock.followed(now - silence);
  }

  /** Somebody logs in at this server. @returns what is wrong with the token that they get */
  async logIn(server: RingServer, look: () => Promise<Snapshot>): Promise<string[]> {
    const { app } = server.app;
    const opened = this.user && (await app.get(SessionStore).open(this.user, {}));
    if (!opened) throw new Error('no session was begun');
    try {
      const { accessToken: text } = await app.get(TokenIssuer).issue(opened.session);
      const { iat, exp } = claimsOf(text);
      const token: Token = {
        text,
        kid: kidOf(text),
        iat: iat * 1_000,
        exp: exp * 1_000,
        deadSince: undefined,
      };
      this.tokens = [...this.tokens, token].slice(-REMEMBERED);
      const { keys, now } = await look();
      const key = keys.find(({ kid }) => kid === token.kid);
      if (key && token.exp - token.iat > key.max_token_ttl_ms) return [`a token of ${token.kid} outlives its cap`];
      const signs = key && [now - MOST_DRIFT, now, now + MOST_DRIFT].some((at) => isSigner(key, at));
      return signs ? [] : [`a token was signed with ${token.kid}, which does not sign`];
    } catch (error) {
      if (!(error instanceof KeyturnError) || error.code !== 'signing_unavailable') throw error;
      const { keys, now } = await look();
      return keys.some((key) => isSigner(key, now - MOST_DRIFT) && isSigner(key, now + MOST_DRIFT))
        ? ['a key signs, and no token was to be had']
        : [];
    }
  }

  /** What each server says of the newest token. */
  async verdictsNow(): Promise<string[]> {
    const token = this.tokens.at(-1);
    if (!token) throw new Error('there is no token');
    return await Promise.all(this.servers.map((server) => judge(server, token)));
  }

  /** While the servers run, the database becomes one in which nothing has happened yet. Only the user is there again. */
  async restoreNothing(): Promise<void> {
    await this.database.reset();
    this.tokens = [];
    await this.comeAgain();
  }

  /** Which tokens are judged otherwise than they should be, on which server. */
  async misjudged({ keys, now, generation }: Snapshot): Promise<string[]> {
    const found: string[] = [];
    for (const token of this.tokens) {
      const key = keys.find(({ kid }) => kid === token.kid);
      if (key?.revoked_at) {
        token.deadSince ??= generation;
      }
      for (const [index, server] of this.servers.entries()) {
        const verdict = await judge(server, token);
        this.verdicts.set(verdict, (this.verdicts.get(verdict) ?? 0) + 1);
        const amiss = this.amiss(server, token, verdict, now);
        if (amiss !== undefined) found.push(`server ${index}, token of ${token.kid}: ${amiss}`);
      }
    }
    return found;
  }

  private amiss(server: RingServer, token: Token, verdict: string, now: number): string | undefined {
    if (server.silence > server.policy.offlineLimit)
      return verdict === 'keys_unavailable' ? undefined : `${verdict} on a server that was cut off for too long`;
    if (token.deadSince !== undefined) {
      if (server.app.app.get(KeyRing).generation < token.deadSince) return undefined;
      return verdict === 'good' || verdict === 'keys_unavailable'
        ? `${verdict}, though its key was revoked`
        : undefined;
    }
    if (now < token.exp) return verdict === 'good' ? undefined : `${verdict} within its life`;
    if (now < token.exp + server.policy.clockSkew + MOST_DRIFT) return undefined;
    return verdict === 'good' ? 'good after its end' : undefined;
  }

  /** What a server that has just heard does not know. */
  ignorance(server: RingServer, { keys, now }: Snapshot): string[] {
    const { app } = server.app;
    const at = now + server.drift;
    const ring = app.get(KeyRing);
    const signer = keys.find((key) => isSigner(key, at));
    const shown = ring.published().map(({ kid }) => kid);
    const due = keys
      .filter(
        (key) => key.public_jwk !== null && key.revoked_at === null && at < (key.expires_at?.getTime() ?? Infinity),
      )
      .map(({ kid }) => kid);
    const believed = ring.signer()?.kid;
    return [
      ...(believed === signer?.kid ? [] : [`it believes that ${believed} signs, not ${signer?.kid}`]),
      ...(signer === undefined || app.get(LocalKeyVault).opens(signer.version) ? [] : [`it cannot open ${signer.kid}`]),
      ...(shown.toSorted().join() === due.toSorted().join()
        ? []
        : [`its JWKS holds ${shown.join()}, not ${due.join()}`]),
    ];
  }
}

/** `good`, the reason of a refusal, or the code of an error. */
async function judge({ app }: RingServer, { text }: Token): Promise<string> {
  try {
    await app.app.get(AccessTokenVerifier).verify(text);
    return 'good';
  } catch (error) {
    if (error instanceof TokenRefused) return error.reason;
    if (error instanceof KeyturnError) return error.code;
    throw error;
  }
}
