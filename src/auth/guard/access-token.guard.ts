import { Injectable, Logger, type ExecutionContext } from '@nestjs/common';
import { AuthGuard } from '@nestjs/passport';
import type { AuthenticatedUser } from '../../common/access.js';
import { KeyturnError, type ErrorCode } from '../../common/errors.js';
import { wantsPage, type NavigationHeaders } from '../../common/http/navigation.js';
import { SeeOther } from '../../common/http/see-other.js';
import { accessTo, type RouteAccess } from '../../common/route-access.js';
import { Tally } from '../../common/tally.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { BrowserSession, type BrowserRequest } from '../browser/browser-session.js';
import { wantSameOrigin, type OriginRequest } from '../browser/same-origin.js';
import type { CookieReply } from '../browser/host-cookies.js';
import { NO_COOKIES, SessionCookies, type CookieTokens } from '../browser/session-cookies.js';
import { AccessTokenVerifier, TokenRefused } from '../token/access-token-verifier.js';
import { TokenSettings } from '../token/token-settings.js';
import { VerifiedTokens } from '../token/verified-tokens.js';
import { STRATEGY, type GuardedRequest } from './access-token.strategy.js';
import { bearerToken, unclearCredentials, type CredentialRequest } from './credentials.js';

/** How fresh a login must be for the gravest routes, in seconds. */
const FRESH_SECONDS = 15 * 60;

type Request = GuardedRequest &
  CredentialRequest &
  BrowserRequest &
  OriginRequest & {
    readonly method: string;
    readonly url: string;
    readonly headers: NavigationHeaders;
    user?: AuthenticatedUser;
  };

/** Methods that change nothing (RFC 9110 section 9.2.1). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Guards every route that is not `@Public()`, with the token of the header or, from a browser, of the cookie. */
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
    private readonly settings: TokenSettings,
    private readonly cookies: SessionCookies,
    private readonly browser: BrowserSession,
  ) {
    super();
  }

  override canActivate(context: ExecutionContext): true | Promise<true> {
    const access = this.accessOf(context);
    if (access.open) return true;
    const request = context.switchToHttp().getRequest<Request>();
    const bearer = bearerToken(request);
    if (bearer !== undefined) {
      if (this.cookies.read(request).access !== undefined)
        throw unclearCredentials('The request has an access token in the header and one in a cookie.');
      return this.admit(context, request, bearer, access);
    }
    const cookies = this.cookiesOf(request);
    if (wantsPage(request.headers)) return this.admitToPage(context, request, cookies, access);
    if (cookies.access !== undefined) return this.admit(context, request, cookies.access, access);
    throw new KeyturnError('missing_token', 'This needs a login: send an access token as Authorization: Bearer.');
  }

  /**
   * What the browser brought. When another site made it ask, that counts for nothing, though browsers send our cookies to no such request;
   * and what is to be changed must be proven to come from a page of ours.
   * @throws KeyturnError `cross_origin`
   */
  private cookiesOf(request: Request): CookieTokens {
    const cookies = this.cookies.read(request);
    if (cookies.access === undefined && cookies.refresh === undefined) return NO_COOKIES;
    if (!SAFE.has(request.method)) wantSameOrigin(request, this.settings.origin);
    return request.headers['sec-fetch-site'] === 'cross-site' ? NO_COOKIES : cookies;
  }

  private admit(context: ExecutionContext, request: Request, token: string, access: RouteAccess): true | Promise<true> {
    const user = this.recall(token);
    if (!user) return this.authenticate(context, request, token).then((found) => this.authorize(found, access));
    request.user = user;
    return this.authorize(user, access);
  }

  /** A person who waits for a page is not shown that the access token has run out: it is renewed, or they are sent to log in. */
  private async admitToPage(
    context: ExecutionContext,
    request: Request,
    { access: token, refresh }: CookieTokens,
    access: RouteAccess,
  ): Promise<true> {
    try {
      if (token !== undefined) return await this.admit(context, request, token, access);
    } catch (error) {
      if (!isKeyturnError(error, 'token_expired', 'invalid_token')) throw error;
    }
    const renewed = refresh === undefined ? undefined : await this.renew(context, request);
    if (renewed !== undefined) return this.admit(context, request, renewed, access);
    // What a form sent is lost, and is not to be sent again as a GET.
    throw new SeeOther(SAFE.has(request.method) ? `/login?return=${encodeURIComponent(request.url)}` : '/login');
  }

  private async renew(context: ExecutionContext, request: Request): Promise<string | undefined> {
    try {
      const pair = await this.browser.renew(request, context.switchToHttp().getResponse<CookieReply>());
      return pair.access_token;
    } catch (error) {
      if (isKeyturnError(error, 'invalid_grant')) return undefined;
      throw error;
    }
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

const isKeyturnError = (error: unknown, ...codes: readonly ErrorCode[]): boolean =>
  error instanceof KeyturnError && codes.includes(error.code);
