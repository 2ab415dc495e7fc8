import { Body, Controller, Get, Header, Post, Query, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExcludeController } from '@nestjs/swagger';
import { z } from 'zod';
import { refuseCrossOrigin, type OriginRequest } from '../auth/browser/same-origin.js';
import { OneTimeCodes, type GoodCode, type Purpose } from '../auth/codes/one-time-codes.js';
import { deviceOf, type ClientRequest } from '../auth/login-history/attempt.js';
import { Throttle } from '../auth/throttle/throttle.js';
import { TokenSettings } from '../auth/token/token-settings.js';
import { Public } from '../common/access.js';
import { KeyturnError, type ErrorCode, type FieldProblem } from '../common/errors.js';
import { ACCEPTS_FORMS } from '../common/http/bodies.js';
import { SeeOther } from '../common/http/see-other.js';
import { newUsername, typed, USERNAME_RULE } from '../common/text.js';
import { form, NEW_PASSWORD_HINT, problemsOf, type FormReply } from './form.js';
import { html, page } from './page.js';

const HTML = 'text/html; charset=utf-8';
const MENDABLE: readonly ErrorCode[] = [
  ...(['password_rejected', 'username_taken', 'validation_failed', 'too_many_attempts', 'busy'] as const),
];

const codeQuery = z.object({ code: z.string().max(256).catch('') });
const redeemForm = z.strictObject({
  code: z.string().max(256),
  username: typed(1_024).trim().optional(),
  password: typed(1_024),
});
const setupForm = redeemForm.required();

type Request = ClientRequest & OriginRequest;

/** What the person chose before, when it was refused. */
interface Before {
  readonly username?: string | undefined;
  readonly problems?: readonly FieldProblem[];
}

/** The pages that a one-time code opens: the first administrator, an invitation, a new password. */
@ApiExcludeController()
@Public()
@Controller()
export class CodesController {
  constructor(
    private readonly codes: OneTimeCodes,
    private readonly throttle: Throttle,
    private readonly settings: TokenSettings,
  ) {}

  @Get('setup')
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async showSetup(
    @Query({ schema: codeQuery }) { code }: z.output<typeof codeQuery>,
    @Res({ passthrough: true }) reply: FormReply,
  ): Promise<string> {
    return (await this.codes.look(code, ['setup'])) ? setupPage(code) : stalePage(reply);
  }

  @Post('setup')
  @RouteConfig(ACCEPTS_FORMS)
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async setUp(
    @Body({ schema: setupForm }) chosen: z.output<typeof setupForm>,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: FormReply,
  ): Promise<string> {
    refuseCrossOrigin(request, this.settings.origin);
    try {
      await this.spend(request, { ...chosen, username: nameIn(chosen.username) }, ['setup']);
    } catch (error) {
      if (isInvalidCode(error)) return stalePage(reply);
      return setupPage(chosen.code, { username: chosen.username, problems: problemsOf(error, MENDABLE, reply) });
    }
    throw new SeeOther('/login?notice=setup');
  }

  @Get('redeem')
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async showRedeem(
    @Query({ schema: codeQuery }) { code }: z.output<typeof codeQuery>,
    @Res({ passthrough: true }) reply: FormReply,
  ): Promise<string> {
    const found = await this.codes.look(code, ['invitation', 'reset']);
    return found ? passwordPage(code, found) : stalePage(reply);
  }

  @Post('redeem')
  @RouteConfig(ACCEPTS_FORMS)
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async redeem(
    @Body({ schema: redeemForm }) { code, password }: z.output<typeof redeemForm>,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: FormReply,
  ): Promise<string> {
    refuseCrossOrigin(request, this.settings.origin);
    try {
      await this.spend(request, { code, password }, ['invitation', 'reset']);
    } catch (error) {
      if (isInvalidCode(error)) return stalePage(reply);
      const problems = problemsOf(error, MENDABLE, reply);
      const found = await this.codes.look(code, ['invitation', 'reset']);
      return found ? passwordPage(code, found, problems) : stalePage(reply);
    }
    throw new SeeOther('/login?notice=password');
  }

  private async spend(
    request: Request,
    chosen: Parameters<OneTimeCodes['redeem']>[1],
    purposes: readonly Purpose[],
  ): Promise<void> {
    const device = deviceOf(request);
    await this.throttle.redemption(device.address, () => this.codes.redeem(device, chosen, purposes));
  }
}

const isInvalidCode = (error: unknown): boolean => error instanceof KeyturnError && error.code === 'invalid_code';

/** @throws KeyturnError `validation_failed` when it can be nobody's name */
function nameIn(username: string): string {
  const parsed = newUsername.safeParse(username);
  if (parsed.success) return parsed.data;
  throw new KeyturnError('validation_failed', USERNAME_RULE, {
    fields: [{ field: 'username', problem: USERNAME_RULE }],
  });
}

const password = { name: 'password', type: 'password', autocomplete: 'new-password', hint: NEW_PASSWORD_HINT } as const;

const setupPage = (code: string, { username, problems }: Before = {}): string =>
  page(
    'First administrator',
    html`<p>Choose how you log in. This page works once.</p>
      ${form(
        '/setup',
        'Make me administrator',
        [
          { name: 'username', label: 'Username or e-mail address', value: username, autocomplete: 'username' },
          { ...password, label: 'Password' },
        ],
        { code },
        problems,
      )}`,
  );

const passwordPage = (code: string, { purpose, username }: GoodCode, problems?: readonly FieldProblem[]): string =>
  page(
    purpose === 'invitation' ? 'You are invited' : 'A new password',
    html`<p>
        ${
          purpose === 'invitation'
            ? 'Choose the password that you will log in with.'
            : 'Choose a new password. Wherever you are logged in, you will be logged out.'
        }
        This page works once.
      </p>
      ${form(
        '/redeem',
        'Set password',
        [
          // For the password manager, which stores the two together.
          { name: 'username', label: 'Your username', value: username ?? '', autocomplete: 'username', readonly: true },
          { ...password, label: 'New password' },
        ],
        { code },
        problems,
      )}`,
  );

function stalePage(reply: FormReply): string {
  reply.status(400);
  return page(
    'Not valid',
    html`<p class="problems" role="alert">This address is not valid, or no longer.</p>
      <p>It works once, and not for long. Ask an administrator for a new one.</p>
      <p>If there is no administrator yet, start Keyturn again: it prints a new address.</p>`,
  );
}
