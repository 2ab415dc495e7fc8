/**
 * Of a row of `keyturn.sessions` or `keyturn.one_time_codes`: it does not come from a copy of the database that was reconciled since. Not
 * true, or null, for what is over, however many rows that are.
 */
export const OF_THIS_INCARNATION = 'incarnation >= (SELECT lives_from FROM keyturn.incarnation)';
