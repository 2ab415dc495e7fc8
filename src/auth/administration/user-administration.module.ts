import { Module } from '@nestjs/common';
import { UsersModule } from '../../users/users.module.js';
import { OneTimeCodes } from '../codes/one-time-codes.js';
import { LoginHistory } from '../login-history/login-history.js';
import { SessionMemory } from '../session/session-memory.js';
import { SessionStore } from '../session/session-store.js';
import { UserSessions } from '../session/user-sessions.js';
import { UserAdministration } from './user-administration.js';

/** Users, their sessions and their codes: all that needs no signing key and no key-encryption key. */
@Module({
  imports: [UsersModule],
  providers: [SessionStore, SessionMemory, UserSessions, LoginHistory, OneTimeCodes, UserAdministration],
  exports: [SessionStore, SessionMemory, UserSessions, LoginHistory, OneTimeCodes, UserAdministration, UsersModule],
})
export class UserAdministrationModule {}
