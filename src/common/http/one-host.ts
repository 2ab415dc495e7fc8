import type { FastifyInstance } from 'fastify';
import { KeyturnError } from '../errors.js';

/**
 * A request of HTTP/1.1 names its host, and once (RFC 9112 section 3.2): of two, a proxy might go by one and we by the other. Node would
 * refuse none in words of its own, and take the first of two.
 */
export function wantOneHost(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', async ({ raw }) => {
    const hosts = raw.rawHeaders.filter(
      (name, at) => at % 2 === 0 && name.length === 4 && name.toLowerCase() === 'host',
    );
    if (hosts.length === 1 || (hosts.length === 0 && raw.httpVersion === '1.0')) return;
    throw new KeyturnError('invalid_request', 'The request must name its host once.');
  });
}
