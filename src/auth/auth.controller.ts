import { Body, Controller, Get, Header, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, Public, type AuthenticatedUser } from '../common/access.js';
import { loginBody, redeemBody, refreshBody } from './auth.schemas.js';
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

  @ApiBearerAuth()
  @Post('logout')
  @HttpCode(204)
  async logout(@CurrentUser() user: AuthenticatedUser): Promise<void> {
    await this.auth.logout(user.sessionId);
  }

  @ApiBearerAuth()
  @Get('me')
  @Header('cache-control', 'no-store')
  me(@CurrentUser() user: AuthenticatedUser): AuthenticatedUser {
    return user;
  }

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
