import { isIP } from 'node:net';

/** Somebody who wants in, as far as is known: what history notes down beside the outcome. */
export interface Attempt {
  /** The name as it was typed. */
  readonly username?: string | undefined;
  readonly userAgent?: string | undefined;
  readonly address?: string | undefined;
  readonly requestId?: string | undefined;
}

/** The parts of a Fastify request that an attempt notes down. */
export interface ClientRequest {
  readonly id: string;
  readonly ip: string;
  readonly headers: { readonly 'user-agent'?: string; readonly cookie?: string | undefined };
}

/** Where a request comes from. */
export const deviceOf = ({ id, ip, headers }: ClientRequest): Attempt => ({
  requestId: id,
  address: ip,
  userAgent: headers['user-agent'],
});

/** The columns of keyturn.login_events that an attempt fills, in the order of {@link attemptValues}. */
export const ATTEMPT_COLUMNS = 'username_tried, address, user_agent, request_id';

/** Text as the table takes it. What a proxy hands on as an address need not be one: a login does not fail for that. */
export function attemptValues({
  username,
  address,
  userAgent,
  requestId,
}: Attempt): [string | null, string | null, string | null, string | null] {
  return [
    username?.slice(0, 254) ?? null,
    addressText(address) ?? null,
    userAgent?.slice(0, 256) ?? null,
    requestId?.slice(0, 64) ?? null,
  ];
}

/**
 * An address as Postgres stores it (inet): without a port, as some proxies hand on, and the interface that it was reached through; IPv4 as
 * IPv4, however it came.
 */
export function addressText(address: string | undefined): string | undefined {
  const plain = address
    ?.replace(/^\[(.*)\](:\d+)?$|^([\d.]+):\d+$/, '$1$3')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=[\d.]+$)/i, '');
  return plain !== undefined && isIP(plain) !== 0 ? plain : undefined;
}
