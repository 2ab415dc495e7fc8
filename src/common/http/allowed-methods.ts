import type { FastifyInstance } from 'fastify';
import { KeyturnError } from '../errors.js';

/** Answers 405 with `Allow` where the path exists for other methods (RFC 9110 section 15.5.6). Call it before routes are registered. */
export function refuseOtherMethods(fastify: FastifyInstance): void {
  const routes: { readonly path: RegExp; readonly methods: readonly string[] }[] = [];
  fastify.addHook('onRoute', ({ url, method }) => {
    if (url.includes('*')) return; // the API page's assets
    const pattern = url.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`).replace(/:[^/]+/g, '[^/]+');
    routes.push({ path: new RegExp(`^${pattern}$`), methods: [method].flat() });
  });
  fastify.addHook('onRequest', async (request) => {
    if (!request.is404) return;
    const path = request.url.split('?', 1)[0] ?? '';
    const allow = [...new Set(routes.filter((route) => route.path.test(path)).flatMap((route) => route.methods))];
    if (allow.length === 0) return;
    throw new KeyturnError('method_not_allowed', `This address takes ${allow.join(', ')}.`, {
      allow: allow.join(', '),
    });
  });
}
