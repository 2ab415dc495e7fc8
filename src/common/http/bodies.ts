import { isUtf8 } from 'node:buffer';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { RawServerDefault } from 'fastify';
import { KeyturnError } from '../errors.js';

export const BODY_LIMIT = 16 * 1024;
const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

/** Route configuration: `@RouteConfig(ACCEPTS_FORMS)` on a page's own POST. Everything else takes JSON and nothing else. */
export const ACCEPTS_FORMS = { acceptsForms: true } as const;

declare module 'fastify' {
  interface FastifyContextConfig {
    acceptsForms?: boolean;
  }
}

/**
 * What bodies are taken: JSON in UTF-8 (RFC 8259 section 8.1), forms where a page posts to itself, and no other, and none compressed. An
 * empty body is none, whatever its type: clients announce JSON on every request.
 */
export function limitBodies(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeContentTypeParser('text/plain');
  const parseJson = fastify.getDefaultJsonParser('error', 'error');
  app.useBodyParser<RawServerDefault>(JSON_TYPE, { bodyLimit: BODY_LIMIT }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    if (!isUtf8(body)) return done(new KeyturnError('malformed_json', 'The body is not UTF-8.'), undefined);
    return parseJson(request, body.toString('utf8'), done);
  });
  fastify.addHook('onRequest', async (request) => {
    const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
    if (type === undefined || request.is404) return;
    if ((request.headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity') {
      throw new KeyturnError('unsupported_media_type', 'Send the body as it is, without Content-Encoding.');
    }
    if (type === JSON_TYPE) return;
    if (type === FORM_TYPE && request.routeOptions.config.acceptsForms === true) return;
    throw new KeyturnError('unsupported_media_type', `Send the body as ${JSON_TYPE}.`);
  });
}
