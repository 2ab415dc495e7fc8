import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** A page may load its own style, send its own forms, and nothing else. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/** The API page is made by a script of this site, styles itself within its elements, and asks this site what a reader tries out. */
const DOCS_CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/** Headers of every answer (ASVS 3.4). `https`: the service is known under an https URL. */
export function addSecurityHeaders(fastify: FastifyInstance, https: boolean): void {
  fastify.addHook('onSend', async (request, reply) => secure(request, reply, https));
}

/** Sets them on one answer: for those that Fastify gives before any hook. */
export function secure(request: FastifyRequest, reply: FastifyReply, https: boolean): void {
  reply.header('x-content-type-options', 'nosniff');
  // Under `no-referrer` a page's own forms come with `Origin: null`, which proves nothing. No other site is told where a person was.
  const isPage = String(reply.getHeader('content-type')).startsWith('text/html');
  reply.header('referrer-policy', isPage ? 'same-origin' : 'no-referrer');
  reply.header('cross-origin-resource-policy', 'same-origin');
  reply.header('cross-origin-opener-policy', 'same-origin');
  const isDocs = /^\/docs\/?(\?|$)/.test(request.url);
  reply.header('content-security-policy', isDocs ? DOCS_CONTENT_SECURITY_POLICY : CONTENT_SECURITY_POLICY);
  if (https) reply.header('strict-transport-security', 'max-age=31536000; includeSubDomains');
  // What says nothing of it is kept by nobody: most answers are about the person who asks.
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
}
