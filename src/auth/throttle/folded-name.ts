/**
 * A name as attempts at it are counted. Coarser than the database's lower(), whatever its collation: names that it takes for one are one
 * here, so that nobody gets more attempts at a user by spelling the name in another way. That two users may be counted as one does no harm.
 */
export const foldedName = (username: string): string =>
  username.toLowerCase().toUpperCase().normalize('NFKD').replace(/\p{M}/gu, '');
