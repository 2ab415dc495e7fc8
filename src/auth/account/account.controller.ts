import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, type AuthenticatedUser } from '../../common/access.js';
import { idParam, newPasswordBody } from '../auth.schemas.js';
import { OwnAccount, type OwnSessionView } from './own-account.js';

/** One's own sessions and password. */
@ApiTags('auth')
@ApiBearerAuth()
@Controller('auth')
export class AccountController {
  constructor(private readonly account: OwnAccount) {}

  @Get('sessions')
  @Header('cache-control', 'no-store')
  async sessions(@CurrentUser() user: AuthenticatedUser): Promise<{ sessions: readonly OwnSessionView[] }> {
    return { sessions: await this.account.listSessions(user) };
  }

  @Delete('sessions/:id')
  @HttpCode(204)
  async endSession(
    @CurrentUser() user: AuthenticatedUser,
    @Param('id', { schema: idParam }) id: string,
  ): Promise<void> {
    await this.account.endSession(user, id);
  }

  @Post('logout-all')
  @HttpCode(204)
  async logoutAll(@CurrentUser() user: AuthenticatedUser): Promise<void> {
    await this.account.logoutAll(user);
  }

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
