import type { FastifyInstance, FastifyRequest } from 'fastify';
import { KeyturnError } from '../errors.js';

/** Node drops what comes after so many headers, such as a second Authorization, and says nothing. Nobody honest sends so many. */
const MOST_HEADERS = 1_000;

/**
 * Refuses requests whose head a proxy might read otherwise than we: those of HTTP/1.1 that do not name one host, once (RFC 9112 section
 * 3.2), name one in their first line too (section 3.2.2, which only proxies are sent), or have more headers than are read.
 */
export function refuseAmbiguousHeads(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', async ({ raw }) => refuseAmbiguous(raw));
}

function refuseAmbiguous({ rawHeaders, httpVersion, url = '' }: FastifyRequest['raw']): void {
  if (rawHeaders.length >= 2 * MOST_HEADERS)
    throw new KeyturnError('headers_too_large', 'The request has too many headers.');
  const hosts = hostsIn(rawHeaders);
  if (hosts !== 1 && !(hosts === 0 && httpVersion === '1.0'))
    throw new KeyturnError('invalid_request', 'The request must name its host once.');
  if (!url.startsWith('/') && url !== '*')
    throw new KeyturnError('invalid_request', 'The request must name a path of this server.');
}

/** Before every request, so nothing is made on the way. @param rawHeaders names and values in turn, as they came */
function hostsIn(rawHeaders: readonly string[]): number {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts;
}
