import { Body, Controller, Get, Header, Post, Query, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExcludeController } from '@nestjs/swagger';
import { z } from 'zod';
import { OwnAccount, type OwnSessionView } from '../auth/account/own-account.js';
import { idParam } from '../auth/auth.schemas.js';
import type { CookieReply } from '../auth/browser/host-cookies.js';
import { SessionCookies } from '../auth/browser/session-cookies.js';
import { CurrentUser, type AuthenticatedUser } from '../common/access.js';
import { KeyturnError, type FieldProblem } from '../common/errors.js';
import { ACCEPTS_FORMS } from '../common/http/bodies.js';
import { SeeOther } from '../common/http/see-other.js';
import { typed } from '../common/text.js';
import { deviceName } from './device-name.js';
import { form, NEW_PASSWORD_HINT, problemsOf, type Field, type FormReply } from './form.js';
import { html, page, type Html } from './page.js';

const HTML = 'text/html; charset=utf-8';

const accountQuery = z.object({ notice: z.enum(['password', 'ended']).optional().catch(undefined) });
const endForm = z.strictObject({ id: idParam });
const passwordForm = z.strictObject({
  username: z.string().optional(),
  currentPassword: typed(1_024),
  newPassword: typed(1_024),
});

const NOTICES = {
  password: 'Your password is changed. Other devices are logged out.',
  ended: 'That device is logged out.',
} as const;

/** One's own account: who one is, where one is logged in, another password. Guarded like any other route. */
@ApiExcludeController()
@Controller('account')
export class AccountPageController {
  constructor(
    private readonly account: OwnAccount,
    private readonly cookies: SessionCookies,
  ) {}

  @Get()
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async show(
    @CurrentUser() user: AuthenticatedUser,
    @Query({ schema: accountQuery }) { notice }: z.output<typeof accountQuery>,
  ): Promise<string> {
    return accountPage(user, await this.account.listSessions(user), notice && NOTICES[notice]);
  }

  @Post('sessions/end')
  @RouteConfig(ACCEPTS_FORMS)
  async endSession(
    @CurrentUser() user: AuthenticatedUser,
    @Body({ schema: endForm }) { id }: z.output<typeof endForm>,
  ): Promise<never> {
    try {
      await this.account.endSession(user, id);
    } catch (error) {
      // It has ended by itself since the page was shown.
      if (!(error instanceof KeyturnError) || error.code !== 'not_found') throw error;
    }
    throw new SeeOther('/account?notice=ended');
  }

  @Post('logout-all')
  @RouteConfig(ACCEPTS_FORMS)
  async logoutAll(
    @CurrentUser() user: AuthenticatedUser,
    @Res({ passthrough: true }) reply: CookieReply,
  ): Promise<never> {
    await this.account.logoutAll(user);
    this.cookies.clear(reply);
    throw new SeeOther('/login?notice=out');
  }

  @Get('password')
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  showPassword(@CurrentUser() user: AuthenticatedUser): string {
    return passwordPage(user);
  }

  @Post('password')
  @RouteConfig(ACCEPTS_FORMS)
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async changePassword(
    @CurrentUser() user: AuthenticatedUser,
    @Body({ schema: passwordForm }) { currentPassword, newPassword }: z.output<typeof passwordForm>,
    @Req() request: { readonly id: string },
    @Res({ passthrough: true }) reply: FormReply,
  ): Promise<string> {
    try {
      await this.account.changePassword(user, request.id, { currentPassword, newPassword });
    } catch (error) {
      const problems = problemsOf(
        error,
        ['invalid_credentials', 'password_rejected', 'too_many_attempts', 'busy'],
        reply,
      );
      return passwordPage(user, problems);
    }
    throw new SeeOther('/account?notice=password');
  }
}

const accountPage = (
  { username, roles }: AuthenticatedUser,
  sessions: readonly OwnSessionView[],
  notice: string | undefined,
): string =>
  page(
    'Your account',
    html`${notice === undefined ? undefined : html`<p class="notice" role="status">${notice}</p>`}
      <p>
        You are logged in as
        <strong>${username}</strong>${rolesInWords(roles)}
      </p>
      <h2>Where you are logged in</h2>
      <ul class="list">
        ${sessions.map(sessionItem)}
      </ul>
      <p class="row"><a href="/account/password">Change password</a></p>
      <div class="row">${act('/logout', 'Log out')} ${act('/account/logout-all', 'Log out everywhere')}</div>`,
  );

const rolesInWords = (roles: readonly string[]): string => {
  if (roles.length === 0) return '.';
  return ` (${roles.length === 1 ? 'role' : 'roles'}: ${roles.join(', ')}).`;
};

const sessionItem = ({ id, device, address, lastUsedAt, current }: OwnSessionView): Html =>
  html`<li>
    <div>
      <strong>${deviceName(device)}</strong> ${current ? html`<span class="tag">this one</span>` : undefined}
      <p>
        ${address === null ? '' : `${address}, `}last seen <time datetime="${lastUsedAt}">${inWords(lastUsedAt)}</time>
      </p>
    </div>
    ${current ? undefined : act('/account/sessions/end', 'End', { id }, `End the session of ${deviceName(device)}`)}
  </li>`;

/** @param spoken what a screen reader says instead, where several read alike */
const act = (action: string, words: string, hidden: Readonly<Record<string, string>> = {}, spoken?: string): Html =>
  html`<form method="post" action="${action}">
    ${Object.entries(hidden).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
    <button class="quiet" ${spoken === undefined ? undefined : html`aria-label="${spoken}"`}>${words}</button>
  </form>`;

/** `23 Nov 2026, 12:00 UTC` */
const inWords = (instant: string): string =>
  `${new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' }).format(new Date(instant))} UTC`;

const newPasswordField: Field = {
  name: 'newPassword',
  label: 'New password',
  type: 'password',
  autocomplete: 'new-password',
  hint: NEW_PASSWORD_HINT,
};

const passwordPage = ({ username }: AuthenticatedUser, problems?: readonly FieldProblem[]): string =>
  page(
    'Change password',
    html`<p>Your other devices will be logged out.</p>
      ${form(
        '/account/password',
        'Change password',
        [
          { name: 'username', label: 'Your username', value: username, autocomplete: 'username', readonly: true },
          { name: 'currentPassword', label: 'Current password', type: 'password', autocomplete: 'current-password' },
          newPasswordField,
        ],
        {},
        problems,
      )}
      <p class="row"><a href="/account">Back to your account</a></p>`,
  );
