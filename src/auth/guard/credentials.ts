import { KeyturnError } from '../../common/errors.js';

/** The part of a Fastify request that carries credentials. */
export interface CredentialRequest {
  readonly raw: { readonly rawHeaders: readonly string[] };
}

/**
 * The token of `Authorization: Bearer` (RFC 6750 section 2.1). Never from query or body.
 * @returns undefined when there are no credentials of ours
 * @throws KeyturnError `invalid_request` when there are two, or an empty one
 */
export function bearerToken({ raw: { rawHeaders } }: CredentialRequest): string | undefined {
  const values = rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === 'authorization',
  );
  if (values.length > 1)
    throw new KeyturnError('invalid_request', 'The request has more than one Authorization header.');
  const [, scheme, token] = /^([^ ]*) *(.*)$/s.exec(values[0] ?? '') ?? [];
  if (scheme?.toLowerCase() !== 'bearer') return undefined;
  // Whatever follows is the token: spaces in it make it a bad one, not another one.
  if (!token) throw new KeyturnError('invalid_request', 'The Authorization header names no token.');
  return token;
}
