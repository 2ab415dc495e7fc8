import { Inject, Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { KeyturnError } from '../../common/errors.js';
import { Tally } from '../../common/tally.js';
import { CONFIG, type Config } from '../../config/config.js';
import { inChange, type Actor } from '../../database/change.js';
import { hasAdministrator, refuseLastAdministrator } from '../../users/administrators.js';
import { ADMIN } from '../../users/roles.js';
import { holdUser, setDisabled, setReset, setRoles, setUsername } from '../../users/user-changes.js';
import { UserDirectory } from '../../users/user-directory.js';
import { insertUser, type NewUser } from '../../users/user-store.js';
import type { UserView } from '../../users/user-view.js';
import type { User } from '../../users/user.entity.js';
import { UsersService } from '../../users/users.service.js';
import { issueCodeFor, voidCodesOf, type IssuedCode } from '../codes/user-codes.js';
import { UserSessions } from '../session/user-sessions.js';
import { TokenSettings } from '../token/token-settings.js';

/** A user who has to choose a password, and the code to hand to them: this is the only time that it is seen. */
export interface UserWithCode {
  readonly user: UserView;
  readonly code: string;
  /** The page that takes the code. */
  readonly redeemUrl: string;
  /** ISO 8601. */
  readonly codeExpiresAt: string;
}

type Work<T> = (manager: EntityManager, now: number) => Promise<T>;

/**
 * Everything that administrators do to users, for HTTP and the command line: each act one change, and in history with who did it. An
 * actor with an id must be an administrator still when it is written. Every method throws KeyturnError `insufficient_scope` otherwise,
 * and `database_unavailable`; those that take an id `not_found`.
 */
@Injectable()
export class UserAdministration {
  private readonly logger = new Logger('Users');

  constructor(
    private readonly dataSource: DataSource,
    @Inject(CONFIG) private readonly config: Config,
    private readonly users: UsersService,
    private readonly directory: UserDirectory,
    private readonly sessions: UserSessions,
    private readonly tally: Tally,
  ) {}

  /** Makes a user who can log in at once. @throws KeyturnError `password_rejected`, `username_taken`, `busy` */
  async create(
    actor: Actor,
    { username, password, roles }: { username: string; password: string; roles: readonly string[] },
  ): Promise<UserView> {
    const passwordHash = await this.users.hashNew(password, username);
    return this.make(actor, 'user created', { username, passwordHash, roles }, (manager, id) =>
      this.directory.get(id, manager),
    );
  }

  /** Makes a user who chooses a password with the code. @throws KeyturnError `username_taken` */
  invite(actor: Actor, { username, roles }: { username: string; roles: readonly string[] }): Promise<UserWithCode> {
    return this.make(actor, 'user invited', { username, passwordHash: null, roles }, async (manager, id, now) =>
      this.withCode(manager, id, await issueCodeFor(manager, id, 'invitation', now)),
    );
  }

  /**
   * Renames a user, gives other roles, or both. Nobody changes their own roles.
   * @throws KeyturnError `username_taken`, `last_administrator`, `own_account`
   */
  alter(
    actor: Actor,
    id: string,
    { username, roles }: { username?: string | undefined; roles?: readonly string[] | undefined },
  ): Promise<UserView> {
    return this.act(actor, 'user altered', id, async (manager, user) => {
      if (roles) {
        refuseOwnAccount(actor, user, 'Nobody changes their own roles: ask another administrator.');
        if (!roles.includes(ADMIN)) await refuseLastAdministrator(manager, user);
        await setRoles(manager, id, roles);
      }
      if (username !== undefined) await setUsername(manager, id, username);
      return this.directory.get(id, manager);
    });
  }

  /** Ends every session, and every code that was not redeemed. @throws KeyturnError `last_administrator` */
  disable(actor: Actor, id: string): Promise<UserView> {
    return this.act(actor, 'user disabled', id, async (manager, user, now) => {
      await refuseLastAdministrator(manager, user);
      if (user.disabledAt === null) await setDisabled(manager, id, now);
      await voidCodesOf(manager, id);
      return this.directory.get(id, manager);
    });
  }

  enable(actor: Actor, id: string): Promise<UserView> {
    return this.act(actor, 'user enabled', id, async (manager) => {
      await setDisabled(manager, id, null);
      return this.directory.get(id, manager);
    });
  }

  /**
   * Takes the password away and ends every session; the code sets another one. Invites once more who never had one. Nobody resets
   * themselves: they change their password, which wants the current one.
   * @throws KeyturnError `last_administrator`, `own_account`
   */
  reset(actor: Actor, id: string): Promise<UserWithCode> {
    return this.act(actor, 'user reset', id, async (manager, user, now) => {
      refuseOwnAccount(actor, user, 'Nobody resets their own password: change it, which wants the current one.');
      await refuseLastAdministrator(manager, user);
      await setReset(manager, id, now);
      await this.sessions.endAllWithin(manager, id, 'password_reset');
      return this.withCode(manager, id, await issueCodeFor(manager, id, 'reset', now));
    });
  }

  endSessions(actor: Actor, id: string): Promise<void> {
    return this.act(actor, 'sessions ended', id, async (manager) => {
      await this.sessions.endAllWithin(manager, id, 'administrator');
    });
  }

  endSession(actor: Actor, id: string, sessionId: string): Promise<void> {
    return this.act(actor, 'session ended', id, async (manager) => {
      const ended = await this.sessions.endWithin(manager, id, sessionId, 'administrator');
      if (ended.length === 0) throw new KeyturnError('not_found', 'This user has no such session.');
    });
  }

  private async make<T>(
    actor: Actor,
    what: string,
    newUser: NewUser,
    answer: (manager: EntityManager, id: string, now: number) => Promise<T>,
  ): Promise<T> {
    const { id, result } = await this.change(actor, async (manager, now) => {
      const user = await insertUser(manager, newUser);
      return { id: user.id, result: await answer(manager, user.id, now) };
    });
    this.note(what, id, actor);
    return result;
  }

  /** An act upon a user. What this server remembers of their sessions is forgotten when it is committed. */
  private async act<T>(
    actor: Actor,
    what: string,
    id: string,
    work: (manager: EntityManager, user: User, now: number) => Promise<T>,
  ): Promise<T> {
    const { result, live } = await this.change(actor, async (manager, now) => {
      const user = await holdUser(manager, id);
      const sessions = await this.sessions.idsWithin(manager, id);
      return { result: await work(manager, user, now), live: sessions };
    });
    this.sessions.forget(live);
    this.note(what, id, actor);
    return result;
  }

  /** Under the lock of every change. Who was an administrator when the request came may be none by now. */
  private change<T>(actor: Actor, work: Work<T>): Promise<T> {
    return inChange(this.dataSource, actor, async (manager, now) => {
      const allowed = actor.userId === undefined || (await hasAdministrator(manager, { id: actor.userId }));
      const result = await work(manager, now);
      if (!allowed) throw new KeyturnError('insufficient_scope', `This needs one of the roles: ${ADMIN}.`);
      return result;
    });
  }

  private async withCode(manager: EntityManager, id: string, { code, expiresAt }: IssuedCode): Promise<UserWithCode> {
    return {
      user: await this.directory.get(id, manager),
      code,
      redeemUrl: `${TokenSettings.of(this.config).issuer}/redeem?code=${code}`,
      codeExpiresAt: new Date(expiresAt).toISOString(),
    };
  }

  private note(message: string, userId: string, { userId: by, requestId }: Actor): void {
    this.tally.count('administration', message);
    this.logger.log({ message, userId, by, requestId });
  }
}

function refuseOwnAccount({ userId }: Actor, user: User, why: string): void {
  if (userId === user.id) throw new KeyturnError('own_account', why);
}
