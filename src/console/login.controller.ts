import { Body, Controller, Get, Header, Post, Query, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExcludeController } from '@nestjs/swagger';
import { z } from 'zod';
import { loginBody } from '../auth/auth.schemas.js';
import { BrowserSession, type BrowserRequest } from '../auth/browser/browser-session.js';
import { returnPath } from '../auth/browser/return-path.js';
import { refuseCrossOrigin, wantSameOrigin, type OriginRequest } from '../auth/browser/same-origin.js';
import type { CookieReply } from '../auth/browser/host-cookies.js';
import { TokenSettings } from '../auth/token/token-settings.js';
import { Public } from '../common/access.js';
import { KeyturnError, type FieldProblem } from '../common/errors.js';
import { ACCEPTS_FORMS } from '../common/http/bodies.js';
import { SeeOther } from '../common/http/see-other.js';
import { form, problemsOf, type FormReply } from './form.js';
import { html, page } from './page.js';

/** A query that was tampered with is none. */
const loginQuery = z.object({
  return: z.string().optional().catch(undefined),
  notice: z.enum(['setup', 'password', 'out']).optional().catch(undefined),
});
const loginForm = z.strictObject({
  username: z.string().max(1_024).trim(),
  password: z.string().max(1_024),
  return: z.string().optional(),
});

const NOTICES = {
  setup: 'You are the administrator. Log in with what you chose.',
  password: 'Your password is set. Log in with it.',
  out: 'You are logged out.',
} as const;

type Request = BrowserRequest & OriginRequest;

/** Log in and out with a browser. */
@ApiExcludeController()
@Public()
@Controller()
export class LoginController {
  constructor(
    private readonly session: BrowserSession,
    private readonly settings: TokenSettings,
  ) {}

  @Get('login')
  @Header('content-type', 'text/html; charset=utf-8')
  @Header('cache-control', 'no-store')
  show(@Query({ schema: loginQuery }) query: z.output<typeof loginQuery>): string {
    const notice = query.notice && NOTICES[query.notice];
    return loginPage({ goal: this.goal(query.return), notice });
  }

  @Post('login')
  @RouteConfig(ACCEPTS_FORMS)
  @Header('content-type', 'text/html; charset=utf-8')
  @Header('cache-control', 'no-store')
  async logIn(
    @Body({ schema: loginForm }) { username, password, return: asked }: z.output<typeof loginForm>,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: FormReply & CookieReply,
  ): Promise<string> {
    refuseCrossOrigin(request, this.settings.origin);
    const goal = this.goal(asked);
    try {
      refuseImpossible(username, password);
      await this.session.begin(username, password, request, reply);
    } catch (error) {
      const problems = problemsOf(
        error,
        ['invalid_credentials', 'validation_failed', 'too_many_attempts', 'busy'],
        reply,
      );
      return loginPage({ goal, username, problems });
    }
    throw new SeeOther(goal ?? '/account');
  }

  @Post('logout')
  @RouteConfig(ACCEPTS_FORMS)
  async logOut(@Req() request: Request, @Res({ passthrough: true }) reply: CookieReply): Promise<never> {
    wantSameOrigin(request, this.settings.origin);
    await this.session.end(request, reply);
    throw new SeeOther('/login?notice=out');
  }

  /** Not this page itself: whoever has logged in would be asked again. */
  private goal(asked: string | undefined): string | undefined {
    const path = returnPath(asked, this.settings.origin);
    return path !== undefined && /^\/(login|logout)\b/.test(path) ? undefined : path;
  }
}

/** What can be nobody's name or password is refused like any other that is wrong. @throws KeyturnError */
function refuseImpossible(username: string, password: string): void {
  const missing = [
    ...(username === '' ? [{ field: 'username', problem: 'Type your username.' }] : []),
    ...(password === '' ? [{ field: 'password', problem: 'Type your password.' }] : []),
  ];
  if (missing.length > 0) throw new KeyturnError('validation_failed', 'Something is missing.', { fields: missing });
  if (!loginBody.safeParse({ username, password }).success)
    throw new KeyturnError('invalid_credentials', 'The username or the password is wrong.');
}

const loginPage = ({
  goal,
  username,
  notice,
  problems,
}: {
  goal: string | undefined;
  username?: string;
  notice?: string | undefined;
  problems?: readonly FieldProblem[];
}): string =>
  page(
    'Log in',
    html`${notice === undefined ? undefined : html`<p class="notice" role="status">${notice}</p>`}
    ${form(
      '/login',
      'Log in',
      [
        { name: 'username', label: 'Username or e-mail address', value: username, autocomplete: 'username' },
        { name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password' },
      ],
      { return: goal },
      problems,
    )}`,
  );
