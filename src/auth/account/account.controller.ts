import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, type AuthenticatedUser } from '../../common/access.js';
import { Documented } from '../../common/http/documented.js';
import { idParam, newPasswordBody, noBody } from '../auth.schemas.js';
import { ownSessions } from '../session/session.schemas.js';
import { OwnAccount, type OwnSessionView } from './own-account.js';

/** One's own sessions and password. */
@ApiTags('auth')
@Controller('auth')
export class AccountController {
  constructor(private readonly account: OwnAccount) {}

  @Documented('Your sessions', { 200: ownSessions })
  @Get('sessions')
  @Header('cache-control', 'no-store')
  async sessions(@CurrentUser() user: AuthenticatedUser): Promise<{ sessions: readonly OwnSessionView[] }> {
    return { sessions: await this.account.listSessions(user) };
  }

  @Documented('Ends one of your sessions', { 204: 'empty' }, 'not_found')
  @Delete('sessions/:id')
  @HttpCode(204)
  async endSession(
    @CurrentUser() user: AuthenticatedUser,
    @Param('id', { schema: idParam }) id: string,
  ): Promise<void> {
    await this.account.endSession(user, id);
  }

  @Documented('Ends all your sessions, this one too', { 204: 'empty' })
  @Post('logout-all')
  @HttpCode(204)
  async logoutAll(
    @CurrentUser() user: AuthenticatedUser,
    @Body({ schema: noBody }) _nothing: z.output<typeof noBody>,
  ): Promise<void> {
    await this.account.logoutAll(user);
  }

  @Documented(
    'Changes your password; your other sessions end',
    { 204: 'empty' },
    'invalid_credentials',
    'too_many_attempts',
    'password_rejected',
    'signing_unavailable',
    'busy',
  )
  @Post('password')
  @HttpCode(204)
  async changePassword(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { readonly id: string },
    @Body({ schema: newPasswordBody }) body: z.output<typeof newPasswordBody>,
  ): Promise<void> {
    await this.account.changePassword(user, request.id, body);
  }
}
