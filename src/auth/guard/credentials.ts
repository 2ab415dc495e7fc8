import { KeyturnError } from '../../common/errors.js';

/** The part of a Fastify request that carries credentials. */
export interface CredentialRequest {
  readonly raw: { readonly rawHeaders: readonly string[] };
}

const AUTHORIZATION = 'authorization';
const SCHEME = 'bearer';

/** Credentials that cannot be told apart or are not there: 400, with a challenge that says so (RFC 6750 section 3.1). */
export const unclearCredentials = (message: string): KeyturnError =>
  new KeyturnError('invalid_request', message, { challenge: true });

/**
 * The token of `Authorization: Bearer` (RFC 6750 section 2.1). Never from query or body.
 * @returns undefined when there are no credentials of ours
 * @throws KeyturnError `invalid_request` when there are two, or an empty one
 */
export function bearerToken({ raw: { rawHeaders } }: CredentialRequest): string | undefined {
  let value: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    // The length is compared first: this runs on every guarded request, over every header.
    const name = rawHeaders[index];
    if (name?.length !== AUTHORIZATION.length || name.toLowerCase() !== AUTHORIZATION) continue;
    if (value !== undefined) throw unclearCredentials('The request has more than one Authorization header.');
    value = rawHeaders[index + 1];
  }
  if (value?.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return undefined;
  let begin = SCHEME.length;
  if (begin < value.length && value[begin] !== ' ') return undefined; // another scheme, whose name begins like ours
  while (value[begin] === ' ') begin++;
  // Whatever follows is the token: spaces in it make it a bad one, not another one.
  const token = value.slice(begin);
  if (token === '') throw unclearCredentials('The Authorization header names no token.');
  return token;
}
