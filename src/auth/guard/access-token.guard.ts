import { Injectable, Logger, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AuthGuard } from '@nestjs/passport';
import { FRESH_LOGIN, PUBLIC, ROLES, type AuthenticatedUser } from '../../common/access.js';
import { KeyturnError } from '../../common/errors.js';
import { DatabaseClock } from '../../database/database-clock.js';
import { TokenRefused } from '../token/access-token-verifier.js';
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

  constructor(
    private readonly reflector: Reflector,
    private readonly verified: VerifiedTokens,
    private readonly clock: DatabaseClock,
  ) {
    super();
  }

  override async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean>(PUBLIC, targets)) return true;
    const request = context.switchToHttp().getRequest<Request>();
    const token = bearerToken(request);
    if (token === undefined)
      throw new KeyturnError('missing_token', 'This needs a login: send an access token as Authorization: Bearer.');
    const user = await this.authenticate(context, request, token);
    this.authorize(user, this.reflector.getAllAndOverride<readonly string[]>(ROLES, targets));
    if (this.reflector.getAllAndOverride<boolean>(FRESH_LOGIN, targets)) this.refuseStaleLogin(user);
    return true;
  }

  private async authenticate(context: ExecutionContext, request: Request, token: string): Promise<AuthenticatedUser> {
    try {
      const seen = this.verified.judge(token);
      if (seen) return (request.user = await seen);
      request.accessToken = token;
      await super.canActivate(context);
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
    this.logger.debug(`token refused: ${error.reason}`);
    return error.reason === 'expired'
      ? new KeyturnError('token_expired', 'The access token expired', {}, { cause: error })
      : new KeyturnError('invalid_token', 'The access token is invalid', {}, { cause: error });
  }

  private authorize({ roles }: AuthenticatedUser, wanted: readonly string[] | undefined): void {
    if (wanted === undefined || wanted.some((role) => roles.includes(role))) return;
    throw new KeyturnError('insufficient_scope', `This needs one of the roles: ${wanted.join(', ')}.`);
  }

  private refuseStaleLogin({ authenticatedAt }: AuthenticatedUser): void {
    if (this.clock.now() / 1_000 - authenticatedAt <= FRESH_SECONDS) return;
    throw new KeyturnError('fresh_login_required', 'This needs a login not older than 15 minutes. Log in again.', {
      maxAge: FRESH_SECONDS,
    });
  }
}
