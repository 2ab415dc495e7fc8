import { z } from 'zod';

/** May administer keys and users. The product's own, as is `auditor`; every other role is a free word. */
export const ADMIN = 'admin';

/** A role. The database checks the same. */
export const roleName = z.string().regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must be 1 to 64 letters, digits, or _ . : -');

/** A user's roles. */
export const roleNames = z
  .array(roleName)
  .max(64)
  .refine((roles) => new Set(roles).size === roles.length, 'names a role twice');
