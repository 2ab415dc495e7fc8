import { Injectable, Logger, type ExecutionContext } from '@nestjs/common';
import { AuthGuard } from '@nestjs/passport';
import type { AuthenticatedUser } from '../../common/access.js';
import { KeyturnError } from '../../common/errors.js';
import { accessTo, type RouteAccess } from '../../common/route-access.js';
import { Tally } from '../../common/tally.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { AccessTokenVerifier, TokenRefused } from '../token/access-token-verifier.js';
import { VerifiedTokens } from '../token/verified-tokens.js';
import { STRATEGY, type GuardedRequest } from './access-token.strategy.js';
import { bearerToken, type CredentialRequest } from './credentials.js';

/** How fresh a login must be for the gravest routes, in seconds. */
const FRESH_SECONDS = 15 * 60;

type Request = GuardedRequest & CredentialRequest & { user?: AuthenticatedUser };

/** Guards every route that is not `@Public()`. */
@Injectable()
export class AccessTokenGuard extends AuthGuard(STRATEGY) {
  private readonly logger = new Logger('Guard');
  /** By controller, then by handler: a handler that two controllers inherit is two routes. */
  private readonly access = new WeakMap<object, WeakMap<object, RouteAccess>>();

  constructor(
    private readonly verifier: AccessTokenVerifier,
    private readonly verified: VerifiedTokens,
    private readonly clock: DatabaseClock,
    private readonly tally: Tally,
  ) {
    super();
  }

  override canActivate(context: ExecutionContext): true | Promise<true> {
    const access = this.accessOf(context);
    if (access.open) return true;
    const request = context.switchToHttp().getRequest<Request>();
    const token = bearerToken(request);
    if (token === undefined)
      throw new KeyturnError('missing_token', 'This needs a login: send an access token as Authorization: Bearer.');
    const user = this.recall(token);
    if (!user) return this.authenticate(context, request, token).then((found) => this.authorize(found, access));
    request.user = user;
    return this.authorize(user, access);
  }

  /** A token seen before, judged without a promise: the steady state of a busy server. */
  private recall(token: string): AuthenticatedUser | undefined {
    try {
      return this.verified.judge(token);
    } catch (error) {
      throw this.answerTo(error, token);
    }
  }

  private async authenticate(context: ExecutionContext, request: Request, token: string): Promise<AuthenticatedUser> {
    try {
      const verification: NonNullable<GuardedRequest['verification']> = { token, verifier: this.verifier };
      request.verification = verification;
      await super.canActivate(context);
      if (verification.resolved) this.verified.remember(token, verification.resolved.claims, verification.resolved.key);
    } catch (error) {
      throw this.answerTo(error, token);
    }
    if (!request.user) throw new Error('the strategy let nobody in and refused nobody');
    return request.user;
  }

  /** What passport calls with the strategy's verdict: a refusal is thrown as it is, so that a failure is never taken for one. */
  override handleRequest<T>(error: unknown, user: T | false, info: unknown): T {
    const failure = error ?? (user ? undefined : info);
    if (failure !== undefined && failure !== null) throw failure;
    if (!user) throw new TokenRefused('no_user');
    return user;
  }

  private answerTo(error: unknown, token: string): unknown {
    if (!(error instanceof TokenRefused)) return error;
    this.verified.forget(token);
    // Not logged each: whoever has no token of ours could fill the log.
    this.tally.count('tokenRefusals', error.reason.replace(/:.*$/, ''));
    this.logger.debug(`token refused: ${error.reason}`);
    return error.reason === 'expired'
      ? new KeyturnError('token_expired', 'The access token expired', {}, { cause: error })
      : new KeyturnError('invalid_token', 'The access token is invalid', {}, { cause: error });
  }

  private authorize({ id, roles, authenticatedAt }: AuthenticatedUser, { wanted, freshLogin }: RouteAccess): true {
    if (wanted !== undefined && !wanted.some((role) => roles.includes(role))) {
      this.logger.log({ message: 'refused for want of a role', userId: id, wanted });
      throw new KeyturnError('insufficient_scope', `This needs one of the roles: ${wanted.join(', ')}.`);
    }
    if (freshLogin && this.clock.now() / 1_000 - authenticatedAt > FRESH_SECONDS) {
      throw new KeyturnError('fresh_login_required', 'This needs a login not older than 15 minutes. Log in again.', {
        maxAge: FRESH_SECONDS,
      });
    }
    return true;
  }

  /** What the decorators of a route say. They never change, so they are read once. */
  private accessOf(context: ExecutionContext): RouteAccess {
    const controller = context.getClass();
    const handler = context.getHandler();
    let routes = this.access.get(controller);
    if (!routes) this.access.set(controller, (routes = new WeakMap()));
    const known = routes.get(handler);
    if (known) return known;
    const access = accessTo(controller, handler);
    routes.set(handler, access);
    return access;
  }
}
