import type { FastifyInstance, FastifyRequest } from 'fastify';
import { wantsPage } from './navigation.js';
import { SeeOther } from './see-other.js';

/** A name or an address of this machine, as URLs write it. */
export const isLoopback = (hostname: string): boolean =>
  /^127(\.\d+){3}$/.test(hostname) || hostname === '[::1]' || /(^|\.)localhost$/.test(hostname);

/**
 * For development on http://127.0.0.1: who opens a page as http://localhost is led to the same page under the issuer, since forms are taken
 * and cookies kept there alone. Only from one name of this machine to another, on the same port; never to where a `Host` points.
 */
export function leadToIssuer(fastify: FastifyInstance, origin: string): void {
  fastify.addHook('onRequest', async (request) => {
    if (isElsewhere(request, new URL(origin))) throw new SeeOther(origin + request.url);
  });
}

function isElsewhere({ method, url, headers }: FastifyRequest, issuer: URL): boolean {
  const asked = `http://${headers.host}`;
  // `GET http://…/ HTTP/1.1` is for proxies.
  if (method !== 'GET' || !url.startsWith('/') || !wantsPage(headers) || !URL.canParse(asked)) return false;
  const { host, hostname, port } = new URL(asked);
  return host !== issuer.host && port === issuer.port && isLoopback(hostname);
}
