import { Injectable } from '@nestjs/common';
import { DataSource, QueryFailedError, type EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { inChange, type Actor } from '../database/change.js';
import { asKeyturnError } from '../database/unavailable.js';
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
  async findForLogin(username: string): Promise<User | null> {
    try {
      return await this.dataSource
        .createQueryBuilder(User, 'u')
        .addSelect('u.passwordHash')
        .where('lower(u.username) = lower(:username)', { username })
        .getOne();
    } catch (error) {
      throw asKeyturnError(error);
    }
  }

  /** Is there anyone who may administer? Only while there is not can the set-up code make one. */
  hasAdministrator(manager: EntityManager = this.dataSource.manager): Promise<boolean> {
    return manager
      .createQueryBuilder(User, 'u')
      .where(`'admin' = ANY (u.roles) AND u.disabledAt IS NULL AND u.passwordHash IS NOT NULL`)
      .getExists();
  }

  /** @throws KeyturnError `username_taken`, `database_unavailable` */
  create(actor: Actor, user: NewUser): Promise<User> {
    return this.change(actor, (manager) => insertUser(manager, user));
  }

  /** One change of users, recorded as the actor's. @throws KeyturnError `database_unavailable` */
  change<T>(actor: Actor, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return inChange(this.dataSource, actor, work);
  }

  /** Stores a better hash of the same password; nothing that history keeps. */
  async rehash(id: string, passwordHash: string): Promise<void> {
    await this.dataSource.query('UPDATE keyturn.users SET password_hash = $2 WHERE id = $1', [id, passwordHash]);
  }
}

/** Inserts within a change that the caller has begun. @throws KeyturnError `username_taken` */
export async function insertUser(manager: EntityManager, { username, passwordHash, roles }: NewUser): Promise<User> {
  try {
    const [row] = await manager.query<{ id: string }[]>(
      `INSERT INTO keyturn.users (username, password_hash, roles, password_changed_at)
       VALUES ($1, $2, $3, CASE WHEN $2::text IS NOT NULL THEN keyturn.clock() END) RETURNING id`,
      [username, passwordHash, roles],
    );
    return await manager.findOneByOrFail(User, { id: row?.id ?? '' });
  } catch (error) {
    if (error instanceof QueryFailedError && error.driverError instanceof Error && 'constraint' in error.driverError) {
      if (error.driverError.constraint === 'uq_users_username') {
        throw new KeyturnError('username_taken', `There is a user ${username} already.`, {}, { cause: error });
      }
    }
    throw error;
  }
}
