import { Injectable } from '@nestjs/common';
import { DataSource, QueryFailedError, type EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { inChange, type Actor } from '../database/change.js';
import { asKeyturnError } from '../database/unavailable.js';
import { hasAdministrator } from './administrators.js';
import { User } from './user.entity.js';

/** A user to be made. */
export interface NewUser {
  readonly username: string;
  /** Null: invited; a one-time code sets the password. */
  readonly passwordHash: string | null;
  readonly roles: readonly string[];
}

/** `keyturn.users`. */
@Injectable()
export class UserStore {
  constructor(private readonly dataSource: DataSource) {}

  /** A user with the stored hash, by name ignoring case; null when there is none. @throws KeyturnError `database_unavailable` */
  findForLogin(username: string): Promise<User | null> {
    return this.findWithHash('lower(u.username) = lower(:username)', { username });
  }

  /** The same by id. @throws KeyturnError `database_unavailable` */
  findForReauthentication(id: string): Promise<User | null> {
    return this.findWithHash('u.id = :id', { id });
  }

  /** Is there anyone who may administer? Only while there is not can the set-up code make one. */
  hasAdministrator(manager: EntityManager = this.dataSource.manager): Promise<boolean> {
    return hasAdministrator(manager);
  }

  /** @throws KeyturnError `username_taken`, `database_unavailable` */
  create(actor: Actor, user: NewUser): Promise<User> {
    return this.change(actor, (manager) => insertUser(manager, user));
  }

  /** One change of users, recorded as the actor's. @throws KeyturnError `database_unavailable` */
  change<T>(actor: Actor, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return inChange(this.dataSource, actor, work);
  }

  /**
   * Stores a better hash of the same password; nothing that history keeps. Not when the password was changed or reset since it was
   * read: the old one would be back.
   */
  async rehash(id: string, from: string, to: string): Promise<void> {
    await this.dataSource.query('UPDATE keyturn.users SET password_hash = $3 WHERE id = $1 AND password_hash = $2', [
      id,
      from,
      to,
    ]);
  }

  private async findWithHash(where: string, parameters: Readonly<Record<string, string>>): Promise<User | null> {
    try {
      return await this.dataSource
        .createQueryBuilder(User, 'u')
        .addSelect('u.passwordHash')
        .where(where, parameters)
        .getOne();
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}

/** Inserts within a change that the caller has begun. @throws KeyturnError `username_taken` */
export async function insertUser(manager: EntityManager, { username, passwordHash, roles }: NewUser): Promise<User> {
  const [row] = await refuseTakenName(username, () =>
    manager.query<{ id: string }[]>(
      `INSERT INTO keyturn.users (username, password_hash, roles, password_changed_at)
       VALUES ($1, $2, $3, CASE WHEN $2::text IS NOT NULL THEN keyturn.clock() END) RETURNING id`,
      [username, passwordHash, roles],
    ),
  );
  return manager.findOneByOrFail(User, { id: row?.id ?? '' });
}

/** Does `work`, which writes `username`. @throws KeyturnError `username_taken` */
export async function refuseTakenName<T>(username: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof QueryFailedError && error.driverError instanceof Error && 'constraint' in error.driverError) {
      if (error.driverError.constraint === 'uq_users_username') {
        throw new KeyturnError('username_taken', `There is a user ${username} already.`, {}, { cause: error });
      }
    }
    throw error;
  }
}
