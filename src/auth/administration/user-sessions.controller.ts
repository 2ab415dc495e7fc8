import { Controller, Delete, Get, Header, HttpCode, Param, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, FreshLogin, Roles, type AuthenticatedUser } from '../../common/access.js';
import { Documented } from '../../common/http/documented.js';
import { ADMIN } from '../../users/roles.js';
import { UserDirectory } from '../../users/user-directory.js';
import { idParam } from '../auth.schemas.js';
import { sessionList } from '../session/session.schemas.js';
import type { SessionView } from '../session/session-view.js';
import { UserSessions } from '../session/user-sessions.js';
import { actorOf, type NumberedRequest } from './acting-user.js';
import { UserAdministration } from './user-administration.js';
import { reasonQuery } from './users.schemas.js';

/** Anybody's sessions, for administrators. */
@ApiTags('users')
@Roles(ADMIN)
@Controller('users/:id/sessions')
export class UserSessionsController {
  constructor(
    private readonly directory: UserDirectory,
    private readonly sessions: UserSessions,
    private readonly administration: UserAdministration,
  ) {}

  @Documented('The sessions of a user', { 200: sessionList }, 'not_found')
  @Get()
  @Header('cache-control', 'no-store')
  async list(@Param('id', { schema: idParam }) id: string): Promise<{ sessions: readonly SessionView[] }> {
    await this.directory.get(id);
    return { sessions: await this.sessions.list(id) };
  }

  @Documented('Ends all sessions of a user', { 204: 'empty' }, 'not_found')
  @Delete()
  @HttpCode(204)
  @FreshLogin()
  endAll(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Param('id', { schema: idParam }) id: string,
    @Query({ schema: reasonQuery }) { reason }: z.output<typeof reasonQuery>,
  ): Promise<void> {
    return this.administration.endSessions(actorOf(user, request, reason), id);
  }

  @Documented('Ends one session of a user', { 204: 'empty' }, 'not_found')
  @Delete(':sessionId')
  @HttpCode(204)
  @FreshLogin()
  end(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Param('id', { schema: idParam }) id: string,
    @Param('sessionId', { schema: idParam }) sessionId: string,
    @Query({ schema: reasonQuery }) { reason }: z.output<typeof reasonQuery>,
  ): Promise<void> {
    return this.administration.endSession(actorOf(user, request, reason), id, sessionId);
  }
}
