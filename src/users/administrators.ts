import type { EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { ADMIN } from './roles.js';
import { User } from './user.entity.js';

/** May this user, read with the hash, log in and administer? */
const isAdministrator = ({ roles, disabledAt, passwordHash }: User): boolean =>
  roles.includes(ADMIN) && disabledAt === null && typeof passwordHash === 'string';

/** Is there one who may log in and administer: at all, besides `except`, or this `id`? */
export const hasAdministrator = (
  manager: EntityManager,
  { id, except }: { id?: string; except?: string } = {},
): Promise<boolean> =>
  manager
    .createQueryBuilder(User, 'u')
    .where(`'${ADMIN}' = ANY (u.roles) AND u.disabledAt IS NULL AND u.passwordHash IS NOT NULL`)
    .andWhere(id === undefined ? 'true' : 'u.id = :id', { id })
    .andWhere(except === undefined ? 'true' : 'u.id <> :except', { except })
    .getExists();

/**
 * Before `user` is disabled, demoted or reset. Under the lock of every change, so that of two who would each leave the other the
 * second is refused.
 * @throws KeyturnError `last_administrator`
 */
export async function refuseLastAdministrator(manager: EntityManager, user: User): Promise<void> {
  if (!isAdministrator(user) || (await hasAdministrator(manager, { except: user.id }))) return;
  throw new KeyturnError(
    'last_administrator',
    'This is the last administrator who can log in. Make another one first.',
  );
}
