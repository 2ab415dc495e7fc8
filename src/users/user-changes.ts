import type { EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { refuseTakenName } from './user-store.js';
import { User } from './user.entity.js';

/**
 * The user of this id, held until the change is over: a login of theirs waits, and then finds what was changed. Call it within
 * inChange().
 * @throws KeyturnError `not_found`
 */
export async function holdUser(manager: EntityManager, id: string): Promise<User> {
  const user = await manager
    .createQueryBuilder(User, 'u')
    .addSelect('u.passwordHash')
    .where('u.id = :id', { id })
    .setLock('for_no_key_update')
    .getOne();
  if (!user) throw new KeyturnError('not_found', 'There is no such user.');
  return user;
}

/** @throws KeyturnError `username_taken` */
export const setUsername = (manager: EntityManager, id: string, username: string): Promise<unknown> =>
  refuseTakenName(username, () => manager.update(User, { id }, { username }));

export const setRoles = (manager: EntityManager, id: string, roles: readonly string[]): Promise<unknown> =>
  manager.update(User, { id }, { roles: [...roles] });

/** The database ends their sessions. */
export const setDisabled = (manager: EntityManager, id: string, since: number | null): Promise<unknown> =>
  manager.update(User, { id }, { disabledAt: since === null ? null : new Date(since) });

/** Takes the password away. */
export const setReset = (manager: EntityManager, id: string, at: number): Promise<unknown> =>
  manager.update(User, { id }, { resetAt: new Date(at), passwordHash: null });

export const setPassword = (manager: EntityManager, id: string, passwordHash: string): Promise<unknown> =>
  manager.query('UPDATE keyturn.users SET password_hash = $2, password_changed_at = keyturn.clock() WHERE id = $1', [
    id,
    passwordHash,
  ]);
