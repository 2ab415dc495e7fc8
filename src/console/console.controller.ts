import { Body, Controller, Get, Header, Post, Query, Req, Res } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExcludeController } from '@nestjs/swagger';
import { z } from 'zod';
import { refuseCrossOrigin } from '../auth/browser/same-origin.js';
import { OneTimeCodes } from '../auth/codes/one-time-codes.js';
import { deviceOf, type ClientRequest } from '../auth/login-history/attempt.js';
import { TokenSettings } from '../auth/token/token-settings.js';
import { Throttle } from '../auth/throttle/throttle.js';
import { Public } from '../common/access.js';
import { KeyturnError } from '../common/errors.js';
import { ACCEPTS_FORMS } from '../common/http/bodies.js';
import { html, page, STYLE, type Html } from './page.js';

const HTML = 'text/html; charset=utf-8';

const setupQuery = z.object({ code: z.string().max(256).default('') });
const setupForm = z.strictObject({
  code: z.string().max(256),
  username: z.string().trim().max(254),
  password: z.string().max(1_024),
});

interface Reply {
  status(code: number): Reply;
  header(name: string, value: string): Reply;
}

type PostRequest = Parameters<typeof refuseCrossOrigin>[0] & ClientRequest;

/** Pages for people. Plain forms, no script. */
@ApiExcludeController()
@Public()
@Controller()
export class ConsoleController {
  constructor(
    private readonly codes: OneTimeCodes,
    private readonly settings: TokenSettings,
    private readonly throttle: Throttle,
  ) {}

  @Get()
  @Header('content-type', HTML)
  home(): string {
    return page(
      'Keyturn',
      html`<p>Login with signing keys that rotate themselves.</p>
        <ul>
          <li><a href="/docs">API description</a></li>
          <li><a href="/.well-known/jwks.json">Public keys (JWKS)</a></li>
          <li><a href="/health/ready">Health</a></li>
        </ul>`,
    );
  }

  @Get('console.css')
  @Header('content-type', 'text/css; charset=utf-8')
  @Header('cache-control', 'public, max-age=3600')
  style(): string {
    return STYLE;
  }

  @Get('setup')
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async setup(
    @Query({ schema: setupQuery }) { code }: z.output<typeof setupQuery>,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    if (await this.codes.isGood(code)) return page('First administrator', setupPage(code));
    reply.status(400);
    return page('First administrator', stalePage());
  }

  @Post('setup')
  @RouteConfig(ACCEPTS_FORMS)
  @Header('content-type', HTML)
  @Header('cache-control', 'no-store')
  async redeem(
    @Body({ schema: setupForm }) form: z.output<typeof setupForm>,
    @Req() request: PostRequest,
    @Res({ passthrough: true }) reply: Reply,
  ): Promise<string> {
    refuseCrossOrigin(request, this.settings.origin);
    try {
      const device = deviceOf(request);
      await this.throttle.redemption(device.address, () => this.codes.redeem(device, form));
    } catch (error) {
      if (
        !(error instanceof KeyturnError) ||
        ![
          'invalid_code',
          'password_rejected',
          'username_taken',
          'validation_failed',
          'busy',
          'too_many_attempts',
        ].includes(error.code)
      )
        throw error;
      reply.status(400);
      return page(
        'First administrator',
        error.code === 'invalid_code' ? stalePage() : setupPage(form.code, form.username, error.message),
      );
    }
    reply.status(303).header('location', '/setup/done');
    return '';
  }

  @Get('setup/done')
  @Header('content-type', HTML)
  done(): string {
    return page(
      'Administrator made',
      html`<p>
        You can log in now: <code>POST /auth/login</code> with your username and password. The
        <a href="/docs">API description</a> shows how.
      </p>`,
    );
  }
}

const setupPage = (code: string, username = '', problem?: string): Html =>
  html`<p>Choose how you log in. This page works once.</p>
    ${problem === undefined ? undefined : html`<p class="problem" role="alert">${problem}</p>`}
    <form method="post" action="/setup">
      <input type="hidden" name="code" value="${code}" />
      <label for="username">Username or e-mail address</label>
      <input
        id="username"
        name="username"
        value="${username}"
        required
        maxlength="254"
        autocomplete="username"
        autofocus
      />
      <label for="password">Password</label>
      <input
        id="password"
        name="password"
        type="password"
        required
        minlength="15"
        maxlength="128"
        autocomplete="new-password"
        aria-describedby="hint"
      />
      <p class="hint" id="hint">At least 15 characters; several unrelated words do well.</p>
      <button>Make me administrator</button>
    </form>`;

const stalePage = (): Html =>
  html`<p class="problem" role="alert">This address is not valid, or no longer.</p>
    <p>If there is no administrator yet, start Keyturn again: it prints a new address.</p>`;
