import { DatabaseError } from 'pg';

export const exclusionViolation = '23P01';
export const checkViolation = '23514';
export const uniqueViolation = '23505';
export const insufficientPrivilege = '42501';
export const invalidText = '22P02';
export const lockNotAvailable = '55P03';
export const serializationFailure = '40001';

/** The SQLSTATE by which the database refused. Whatever it let pass, or failed otherwise, is an error. */
export async function refusal(attempt: Promise<unknown>): Promise<string | undefined> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof DatabaseError) return error.code;
    throw error;
  }
  throw new Error('the database refused nothing');
}
