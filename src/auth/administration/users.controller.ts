import { Body, Controller, Get, Header, HttpCode, Param, Patch, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, FreshLogin, Roles, type AuthenticatedUser } from '../../common/access.js';
import { Documented } from '../../common/http/documented.js';
import { ADMIN } from '../../users/roles.js';
import { UserDirectory, type UserPage } from '../../users/user-directory.js';
import type { UserView } from '../../users/user-view.js';
import { idParam } from '../auth.schemas.js';
import { actorOf, type NumberedRequest } from './acting-user.js';
import { UserAdministration, type UserWithCode } from './user-administration.js';
import {
  alteredUserBody,
  newUser,
  newUserBody,
  reasonBody,
  userPage,
  usersQuery,
  userView,
  userWithCode,
} from './users.schemas.js';

/** Who may log in, for administrators. The same use-cases as the command line. */
@ApiTags('users')
@Roles(ADMIN)
@Controller('users')
export class UsersController {
  constructor(
    private readonly directory: UserDirectory,
    private readonly administration: UserAdministration,
  ) {}

  @Documented('Who there is, oldest first, a page at a time', { 200: userPage })
  @Get()
  @Header('cache-control', 'no-store')
  list(@Query({ schema: usersQuery }) query: z.output<typeof usersQuery>): Promise<UserPage> {
    return this.directory.page(query);
  }

  @Documented('One user', { 200: userView }, 'not_found')
  @Get(':id')
  @Header('cache-control', 'no-store')
  get(@Param('id', { schema: idParam }) id: string): Promise<UserView> {
    return this.directory.get(id);
  }

  @Documented(
    'Makes a user. Without a password the answer has a code, with which the user chooses one',
    { 201: newUser },
    'password_rejected',
    'username_taken',
    'busy',
  )
  @Post()
  @FreshLogin()
  @Header('cache-control', 'no-store')
  async create(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Body({ schema: newUserBody }) { username, roles, password, reason }: z.output<typeof newUserBody>,
  ): Promise<UserWithCode | { user: UserView }> {
    const actor = actorOf(user, request, reason);
    if (password === undefined) return this.administration.invite(actor, { username, roles });
    return { user: await this.administration.create(actor, { username, roles, password }) };
  }

  @Documented(
    'Renames a user, gives other roles, or both. Nobody changes their own roles',
    { 200: userView },
    'own_account',
    'not_found',
    'username_taken',
    'last_administrator',
  )
  @Patch(':id')
  @FreshLogin()
  @Header('cache-control', 'no-store')
  alter(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: alteredUserBody }) { reason, ...changes }: z.output<typeof alteredUserBody>,
  ): Promise<UserView> {
    return this.administration.alter(actorOf(user, request, reason), id, changes);
  }

  @Documented('Lets a user in no more, and ends every session', { 200: userView }, 'not_found', 'last_administrator')
  @Post(':id/disable')
  @HttpCode(200)
  @FreshLogin()
  @Header('cache-control', 'no-store')
  disable(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: reasonBody }) { reason }: z.output<typeof reasonBody>,
  ): Promise<UserView> {
    return this.administration.disable(actorOf(user, request, reason), id);
  }

  @Documented('Lets a disabled user in again', { 200: userView }, 'not_found')
  @Post(':id/enable')
  @HttpCode(200)
  @FreshLogin()
  @Header('cache-control', 'no-store')
  enable(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: reasonBody }) { reason }: z.output<typeof reasonBody>,
  ): Promise<UserView> {
    return this.administration.enable(actorOf(user, request, reason), id);
  }

  @Documented(
    'Takes the password away and ends every session; the code sets another one',
    { 200: userWithCode },
    'own_account',
    'not_found',
  )
  @Post(':id/reset')
  @HttpCode(200)
  @FreshLogin()
  @Header('cache-control', 'no-store')
  reset(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: NumberedRequest,
    @Param('id', { schema: idParam }) id: string,
    @Body({ schema: reasonBody }) { reason }: z.output<typeof reasonBody>,
  ): Promise<UserWithCode> {
    return this.administration.reset(actorOf(user, request, reason), id);
  }
}
