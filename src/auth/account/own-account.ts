import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { AuthenticatedUser } from '../../common/access.js';
import { KeyturnError, type ErrorCode } from '../../common/errors.js';
import { Tally, type Counted } from '../../common/tally.js';
import { inChange } from '../../database/change.js';
import { holdUser, setPassword } from '../../users/user-changes.js';
import { UsersService } from '../../users/users.service.js';
import { voidCodesOf } from '../codes/user-codes.js';
import type { SessionView } from '../session/session-view.js';
import { UserSessions } from '../session/user-sessions.js';
import { Throttle } from '../throttle/throttle.js';

export interface OwnSessionView extends SessionView {
  /** The one that asks. */
  readonly current: boolean;
}

const REFUSALS: ReadonlyMap<ErrorCode, Counted['passwordChanges']> = new Map([
  ['invalid_credentials', 'wrong_password'],
  ['too_many_attempts', 'throttled'],
]);

/** What people do with their own account. Every method throws KeyturnError `database_unavailable`. */
@Injectable()
export class OwnAccount {
  private readonly logger = new Logger('Account');

  constructor(
    private readonly dataSource: DataSource,
    private readonly users: UsersService,
    private readonly sessions: UserSessions,
    private readonly throttle: Throttle,
    private readonly tally: Tally,
  ) {}

  async listSessions({ id, sessionId }: AuthenticatedUser): Promise<readonly OwnSessionView[]> {
    const sessions = await this.sessions.list(id);
    return sessions.map((session) => ({ ...session, current: session.id === sessionId }));
  }

  /** Somebody else's session is answered like one that never was. @throws KeyturnError `not_found` */
  async endSession({ id }: AuthenticatedUser, sessionId: string): Promise<void> {
    if (!(await this.sessions.end(id, sessionId, 'logout'))) {
      throw new KeyturnError('not_found', 'You have no such session.');
    }
    this.logger.log({ message: 'logout', userId: id, sessionId });
  }

  async logoutAll({ id }: AuthenticatedUser): Promise<void> {
    await this.sessions.endAll(id, 'logout_all');
    this.logger.log({ message: 'logout everywhere', userId: id });
  }

  /**
   * Wants the current password; every other session ends, and every code that was not redeemed.
   * @throws KeyturnError `invalid_credentials`, `too_many_attempts`, `password_rejected`, `busy`
   */
  async changePassword(
    { id, sessionId }: AuthenticatedUser,
    requestId: string,
    { currentPassword, newPassword }: { currentPassword: string; newPassword: string },
  ): Promise<void> {
    const known = await this.reauthenticate({ id, sessionId }, requestId, currentPassword);
    const passwordHash = await this.users.hashNew(newPassword, known.username, 'newPassword');
    const ended = await inChange(this.dataSource, { userId: id, requestId }, async (manager) => {
      const user = await holdUser(manager, id);
      // An administrator may have reset or disabled the user while we hashed: that stands.
      const overtaken = user.passwordChangedAt?.getTime() !== known.passwordChangedAt?.getTime();
      if (overtaken || user.disabledAt !== null || typeof user.passwordHash !== 'string') {
        throw new KeyturnError('invalid_credentials', 'The current password is wrong.');
      }
      await setPassword(manager, id, passwordHash);
      await voidCodesOf(manager, id);
      return this.sessions.endAllWithin(manager, id, 'password_changed', sessionId);
    });
    this.sessions.forget(ended);
    this.tally.count('passwordChanges', 'success');
    this.logger.log({ message: 'password changed', userId: id, requestId });
  }

  /** Whoever holds a session and guesses at the password is seen. */
  private async reauthenticate(
    { id, sessionId }: Pick<AuthenticatedUser, 'id' | 'sessionId'>,
    requestId: string,
    password: string,
  ): ReturnType<UsersService['reauthenticate']> {
    try {
      return await this.throttle.reauthentication(sessionId, () => this.users.reauthenticate(id, password));
    } catch (error) {
      const outcome = error instanceof KeyturnError ? REFUSALS.get(error.code) : undefined;
      if (outcome !== undefined) {
        this.tally.count('passwordChanges', outcome);
        this.logger.warn({ message: 'password change refused', outcome, userId: id, sessionId, requestId });
      }
      throw error;
    }
  }
}
