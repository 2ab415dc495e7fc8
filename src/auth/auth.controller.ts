import { Body, Controller, Get, Header, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, Public, type AuthenticatedUser } from '../common/access.js';
import { Documented } from '../common/http/documented.js';
import { authenticatedUser, loginBody, noBody, redeemBody, refreshBody, tokenPair } from './auth.schemas.js';
import { AuthService, type TokenPair } from './auth.service.js';
import { OneTimeCodes } from './codes/one-time-codes.js';
import { deviceOf, type ClientRequest } from './login-history/attempt.js';
import type { CookieReply } from './browser/host-cookies.js';
import { DeviceCookie } from './throttle/device-cookie.js';
import { Throttle } from './throttle/throttle.js';

/** Login for clients that keep their tokens themselves. */
@ApiTags('auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly auth: AuthService,
    private readonly codes: OneTimeCodes,
    private readonly devices: DeviceCookie,
    private readonly throttle: Throttle,
  ) {}

  @Documented(
    'Logs in with username and password',
    { 200: tokenPair },
    'invalid_credentials',
    'too_many_attempts',
    'busy',
    'signing_unavailable',
    'database_unavailable',
  )
  @Public()
  @Post('login')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  async login(
    @Body({ schema: loginBody }) { username, password }: z.output<typeof loginBody>,
    @Req() request: ClientRequest,
    @Res({ passthrough: true }) reply: CookieReply,
  ): Promise<TokenPair> {
    const device = { ...deviceOf(request), knownDevice: this.devices.read(request) };
    const pair = await this.auth.login(username, password, device);
    await this.devices.write(reply, username, request);
    return pair;
  }

  @Documented(
    'Spends a refresh token for a new pair. Once more within the grace gives the same again; later ends the session',
    { 200: tokenPair },
    'invalid_grant',
    'signing_unavailable',
    'database_unavailable',
  )
  @Public()
  @Post('refresh')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  refresh(
    @Body({ schema: refreshBody }) body: z.output<typeof refreshBody>,
    @Req() request: ClientRequest,
  ): Promise<TokenPair> {
    return this.auth.refresh(body.refresh_token, deviceOf(request));
  }

  @Documented('Ends this session, everywhere', { 204: 'empty' })
  @Post('logout')
  @HttpCode(204)
  async logout(
    @CurrentUser() user: AuthenticatedUser,
    @Body({ schema: noBody }) _nothing: z.output<typeof noBody>,
  ): Promise<void> {
    await this.auth.logout(user.sessionId);
  }

  @Documented('Who the guard says you are', { 200: authenticatedUser })
  @Get('me')
  @Header('cache-control', 'no-store')
  me(@CurrentUser() user: AuthenticatedUser): AuthenticatedUser {
    return user;
  }

  @Documented(
    'Sets a password with a code that works once. A set-up code wants a `username` too, and makes the first administrator',
    { 204: 'empty' },
    'invalid_code',
    'password_rejected',
    'username_taken',
    'too_many_attempts',
    'busy',
    'database_unavailable',
  )
  @Public()
  @Post('redeem')
  @HttpCode(204)
  async redeem(
    @Body({ schema: redeemBody }) body: z.output<typeof redeemBody>,
    @Req() request: ClientRequest,
  ): Promise<void> {
    const device = deviceOf(request);
    await this.throttle.redemption(device.address, () => this.codes.redeem(device, body));
  }
}
