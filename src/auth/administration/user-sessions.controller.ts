import { Controller, Delete, Get, Header, HttpCode, Logger, Param, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CurrentUser, FreshLogin, Roles, type AuthenticatedUser } from '../../common/access.js';
import { KeyturnError } from '../../common/errors.js';
import { Tally } from '../../common/tally.js';
import { Documented } from '../../common/http/documented.js';
import { ADMIN } from '../../users/roles.js';
import { UserDirectory } from '../../users/user-directory.js';
import { idParam } from '../auth.schemas.js';
import { sessionList } from '../session/session.schemas.js';
import type { SessionView } from '../session/session-view.js';
import { UserSessions } from '../session/user-sessions.js';

/** Anybody's sessions, for administrators. */
@ApiTags('users')
@Roles(ADMIN)
@Controller('users/:id/sessions')
export class UserSessionsController {
  private readonly logger = new Logger('Users');

  constructor(
    private readonly directory: UserDirectory,
    private readonly sessions: UserSessions,
    private readonly tally: Tally,
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
  async endAll(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { readonly id: string },
    @Param('id', { schema: idParam }) id: string,
  ): Promise<void> {
    await this.directory.get(id);
    await this.sessions.endAll(id, 'administrator');
    this.tally.count('administration', 'sessions ended');
    this.logger.log({ message: 'sessions ended', userId: id, by: user.id, requestId: request.id });
  }

  @Documented('Ends one session of a user', { 204: 'empty' }, 'not_found')
  @Delete(':sessionId')
  @HttpCode(204)
  @FreshLogin()
  async end(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { readonly id: string },
    @Param('id', { schema: idParam }) id: string,
    @Param('sessionId', { schema: idParam }) sessionId: string,
  ): Promise<void> {
    if (!(await this.sessions.end(id, sessionId, 'administrator'))) {
      throw new KeyturnError('not_found', 'This user has no such session.');
    }
    this.tally.count('administration', 'session ended');
    this.logger.log({ message: 'session ended', userId: id, sessionId, by: user.id, requestId: request.id });
  }
}
