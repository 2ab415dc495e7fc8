import { Injectable, Logger } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import type { Actor } from '../database/change.js';
import { PasswordHasher } from './password/password-hasher.js';
import type { Turn } from './password/permits.js';
import { checkPassword } from './password/password-policy.js';
import type { User } from './user.entity.js';
import { insertUser, UserStore } from './user-store.js';

/** Who may log in, and whether it is they. */
@Injectable()
export class UsersService {
  private readonly logger = new Logger('Users');

  constructor(
    private readonly store: UserStore,
    private readonly hasher: PasswordHasher,
  ) {}

  /**
   * Unknown, wrong, disabled and not yet invited in answer alike, after the same work.
   * @param turn in whose line the hash waits
   * @throws KeyturnError `invalid_credentials`, `busy`, `database_unavailable`
   */
  async authenticate(username: string, password: string, turn?: Turn): Promise<User> {
    const user = await this.passes(await this.store.findForLogin(username), password, turn);
    if (!user) throw new KeyturnError('invalid_credentials', 'The username or the password is wrong.');
    return user;
  }

  /**
   * Is it still they? For what a session alone does not allow.
   * @throws KeyturnError `invalid_credentials`, `busy`, `database_unavailable`
   */
  async reauthenticate(id: string, password: string): Promise<User> {
    const user = await this.passes(await this.store.findForReauthentication(id), password, {
      of: `user ${id}`,
      known: true,
    });
    if (!user) throw new KeyturnError('invalid_credentials', 'The current password is wrong.');
    return user;
  }

  /** The user, when this is their password and they may log in. Takes as long for anybody. */
  private async passes(user: User | null, password: string, turn: Turn | undefined): Promise<User | undefined> {
    const phc = user?.passwordHash ?? null;
    const right =
      phc === null ? await this.hasher.verifyDummy(password, turn) : await this.hasher.verify(phc, password, turn);
    if (!user || phc === null || !right || user.disabledAt !== null) return undefined;
    if (this.hasher.needsRehash(phc)) await this.rehash(user.id, phc, password, turn);
    return user;
  }

  /**
   * Makes a user who can log in at once.
   * @throws KeyturnError `password_rejected`, `username_taken`, `database_unavailable`
   */
  async create(
    actor: Actor,
    { username, password, roles }: { username: string; password: string; roles: readonly string[] },
  ): Promise<User> {
    return this.store.create(actor, { username, passwordHash: await this.hashNew(password, username), roles });
  }

  /**
   * The first administrator, from the environment; undefined when there is one already.
   * @throws KeyturnError `password_rejected`, `username_taken`
   */
  async createFirstAdministrator(
    actor: Actor,
    { username, password }: { username: string; password: string },
  ): Promise<User | undefined> {
    if (await this.store.hasAdministrator()) return undefined;
    const passwordHash = await this.hashNew(password, username);
    return this.store.change(actor, (manager) => this.insertFirstAdministrator(manager, username, passwordHash));
  }

  /** The same within a change that the caller has begun, with a hash from {@link hashNew}. */
  async insertFirstAdministrator(
    manager: EntityManager,
    username: string,
    passwordHash: string,
  ): Promise<User | undefined> {
    return (await this.store.hasAdministrator(manager))
      ? undefined
      : insertUser(manager, { username, passwordHash, roles: ['admin'] });
  }

  hasAdministrator(): Promise<boolean> {
    return this.store.hasAdministrator();
  }

  /**
   * Hashes a password that somebody chose, after the policy has looked at it.
   * @param field what the answer calls it
   * @throws KeyturnError `password_rejected`, `busy`
   */
  async hashNew(password: string, username: string, field = 'password'): Promise<string> {
    const problems = checkPassword(password, { username });
    if (problems.length > 0) {
      throw new KeyturnError('password_rejected', problems.join(' '), {
        fields: problems.map((problem) => ({ field, problem })),
      });
    }
    return this.hasher.hash(password);
  }

  private async rehash(id: string, phc: string, password: string, turn: Turn | undefined): Promise<void> {
    try {
      await this.store.rehash(id, phc, await this.hasher.hash(password, turn));
    } catch (error) {
      // The login itself is good; the next one tries again.
      this.logger.warn(
        `could not store a better hash for user ${id}: ${error instanceof Error ? error.message : 'unknown error'}`,
      );
    }
  }
}
