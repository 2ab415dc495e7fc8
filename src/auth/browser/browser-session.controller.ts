import { Body, Controller, Delete, Header, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiCookieAuth, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { Public } from '../../common/access.js';
import { Documented } from '../../common/http/documented.js';
import { lifetimes, loginBody } from '../auth.schemas.js';
import type { TokenPair } from '../auth.service.js';
import { TokenSettings } from '../token/token-settings.js';
import { BrowserSession, type BrowserRequest } from './browser-session.js';
import { wantSameOrigin, type OriginRequest } from './same-origin.js';
import type { CookieReply } from './host-cookies.js';

type Request = BrowserRequest & OriginRequest;

/** How long the tokens in the cookies live. Seconds. The tokens themselves are shown to no script. */
export type Lifetimes = Pick<TokenPair, 'expires_in' | 'refresh_expires_in'>;

const lifetimesOf = ({ expires_in, refresh_expires_in }: TokenPair): Lifetimes => ({ expires_in, refresh_expires_in });

/** Login for scripts of pages of this site: the tokens stay in cookies that no script can read. */
@ApiTags('browser')
@Public()
@Controller('session')
export class BrowserSessionController {
  constructor(
    private readonly session: BrowserSession,
    private readonly settings: TokenSettings,
  ) {}

  @Documented(
    'Logs in; the tokens come as cookies',
    { 200: lifetimes },
    'invalid_request',
    'cross_origin',
    'invalid_credentials',
    'too_many_attempts',
    'busy',
    'signing_unavailable',
    'database_unavailable',
  )
  @Post()
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  async begin(
    @Body({ schema: loginBody }) { username, password }: z.output<typeof loginBody>,
    @Req() request: Request,
    @Res({ passthrough: true }) reply: CookieReply,
  ): Promise<Lifetimes> {
    wantSameOrigin(request, this.settings.origin);
    return lifetimesOf(await this.session.begin(username, password, request, reply));
  }

  @Documented(
    'New tokens for those in the cookies',
    { 200: lifetimes },
    'invalid_request',
    'cross_origin',
    'invalid_grant',
    'signing_unavailable',
    'database_unavailable',
  )
  @ApiCookieAuth()
  @Post('refresh')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  async refresh(@Req() request: Request, @Res({ passthrough: true }) reply: CookieReply): Promise<Lifetimes> {
    wantSameOrigin(request, this.settings.origin);
    return lifetimesOf(await this.session.renew(request, reply));
  }

  @Documented(
    'Logs out; the cookies go',
    { 204: 'empty' },
    'invalid_request',
    'cross_origin',
    'signing_unavailable',
    'database_unavailable',
  )
  @ApiCookieAuth()
  @Delete()
  @HttpCode(204)
  async end(@Req() request: Request, @Res({ passthrough: true }) reply: CookieReply): Promise<void> {
    wantSameOrigin(request, this.settings.origin);
    await this.session.end(request, reply);
  }
}
