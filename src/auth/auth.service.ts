import { Inject, Injectable, Logger } from '@nestjs/common';
import { KeyturnError } from '../common/errors.js';
import { Tally } from '../common/tally.js';
import { CONFIG, type Config } from '../config/config.js';
import { UsersService } from '../users/users.service.js';
import type { Attempt } from './login-history/attempt.js';
import { LoginHistory } from './login-history/login-history.js';
import {
  leadsTo,
  readRefreshToken,
  successorOf,
  writeRefreshToken,
  type RefreshToken,
} from './session/refresh-token.js';
import { RefreshSecret } from './session/refresh-secret.js';
import { SessionMemory } from './session/session-memory.js';
import { SessionStore, type OpenedSession, type SessionAtHand } from './session/session-store.js';
import { Throttle } from './throttle/throttle.js';
import { TokenIssuer } from './token/token-issuer.js';

/** Where a login comes from. */
export interface Device extends Omit<Attempt, 'username'> {
  /** What it shows of having been logged in on before; nothing that lets anybody in. */
  readonly knownDevice?: string | undefined;
}

/** The answer to a login or a refresh (RFC 6749 section 5.1). Times in seconds. */
export interface TokenPair {
  readonly access_token: string;
  readonly token_type: 'Bearer';
  readonly expires_in: number;
  readonly refresh_token: string;
  readonly refresh_expires_in: number;
}

/** Login, refresh and logout. */
@Injectable()
export class AuthService {
  private readonly logger = new Logger('Auth');

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly users: UsersService,
    private readonly sessions: SessionStore,
    private readonly history: LoginHistory,
    private readonly memory: SessionMemory,
    private readonly refreshSecret: RefreshSecret,
    private readonly issuer: TokenIssuer,
    private readonly tally: Tally,
    private readonly throttle: Throttle,
  ) {}

  /** @throws KeyturnError `invalid_credentials`, `too_many_attempts`, `busy`, `signing_unavailable`, `database_unavailable` */
  async login(username: string, password: string, device: Device): Promise<TokenPair> {
    await this.issuer.refuseWhenSilent();
    const { session, token } = await this.open({ ...device, username }, password);
    this.tally.count('logins', 'success');
    this.logger.log({ message: 'login', userId: session.userId, sessionId: session.id });
    return this.pair(session, token);
  }

  /**
   * Spends a refresh token. The same one again within the grace gets the same successor; later it ends the session.
   * @throws KeyturnError `invalid_grant`, `signing_unavailable`, `database_unavailable`
   */
  async refresh(text: string, device: Device = {}): Promise<TokenPair> {
    const secret = await this.refreshSecret.get();
    const token = readRefreshToken(text, secret);
    if (!token) throw this.invalidGrant('refused');
    const successor = successorOf(token, secret);
    const spent = await this.sessions.spend(token, successor);
    const session = spent ?? (await this.retried(token, secret, device));
    this.tally.count('refreshes', spent ? 'success' : 'retried');
    return this.pair(session, successor);
  }

  /** Ends a session; answers after it is committed. */
  async logout(sessionId: string): Promise<void> {
    await this.sessions.end(sessionId, 'logout');
    this.memory.forget(sessionId);
    this.logger.log({ message: 'logout', sessionId });
  }

  /**
   * Ends the session of a refresh token, be it the one that is good or one before it; false when it is none of ours.
   * @throws KeyturnError `signing_unavailable`, `database_unavailable`
   */
  async logoutByRefreshToken(text: string): Promise<boolean> {
    const secret = await this.refreshSecret.get();
    const token = readRefreshToken(text, secret);
    const session = token && (await this.sessions.find(token.sessionId));
    if (!session || session.over) return false;
    const { id, refreshGeneration, refreshHash } = session;
    if (!leadsTo(token, refreshGeneration, refreshHash, secret)) return false;
    await this.logout(id);
    return true;
  }

  /** A session for whoever knows the password. Who does not, or guesses too often, is written down. */
  private async open(attempt: Device & { readonly username: string }, password: string): Promise<OpenedSession> {
    try {
      return await this.throttle.login(attempt, async (turn) => {
        const user = await this.users.authenticate(attempt.username, password, turn);
        const opened = await this.sessions.open(user, attempt);
        if (!opened) throw new KeyturnError('invalid_credentials', 'The username or the password is wrong.');
        return opened;
      });
    } catch (error) {
      if (!(error instanceof KeyturnError)) throw error;
      const throttled = error.code === 'too_many_attempts';
      if (!throttled && error.code !== 'invalid_credentials') throw error;
      const outcome = await this.history.recordRefusal(attempt, throttled);
      this.tally.count('logins', outcome);
      this.logger.log({ message: 'login refused', outcome, requestId: attempt.requestId });
      throw error;
    }
  }

  /** A token that could not be spent: a retry within the grace, a replay, or nothing of ours. */
  private async retried(token: RefreshToken, secret: Buffer, device: Device): Promise<SessionAtHand> {
    const session = await this.sessions.find(token.sessionId);
    if (!session || session.over || session.now >= session.idleExpiresAt || session.now >= session.expiresAt)
      throw this.invalidGrant('refused');
    const { refreshGeneration, refreshHash, refreshedAt, now } = session;
    const spent = token.generation < refreshGeneration && leadsTo(token, refreshGeneration, refreshHash, secret);
    if (!spent) throw this.invalidGrant('refused');
    const isRetry =
      token.generation === refreshGeneration - 1 && now - refreshedAt <= this.config.sessions.refreshGrace;
    if (isRetry) return session;
    await this.history.endReused(session.id, device);
    this.memory.forget(session.id);
    this.logger.warn({
      message: 'a spent refresh token came back: session ended',
      userId: session.userId,
      sessionId: session.id,
    });
    throw this.invalidGrant('reused');
  }

  private invalidGrant(outcome: 'refused' | 'reused'): KeyturnError {
    this.tally.count('refreshes', outcome);
    return new KeyturnError('invalid_grant', 'The refresh token is not valid, or no longer. Log in again.');
  }

  private async pair(session: SessionAtHand, token: RefreshToken): Promise<TokenPair> {
    const { accessToken, expiresIn } = await this.issuer.issue(session);
    return {
      access_token: accessToken,
      token_type: 'Bearer',
      expires_in: expiresIn,
      refresh_token: writeRefreshToken(token, await this.refreshSecret.get()),
      refresh_expires_in: Math.floor((Math.min(session.idleExpiresAt, session.expiresAt) - session.now) / 1_000),
    };
  }
}
