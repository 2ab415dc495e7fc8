import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { KeyturnError, type ErrorCode } from './common/errors.js';
import { ERRORS } from './common/http/documented.js';
import { toJsonSchema } from './common/http/json-schema.js';
import { completeOperation, problemSchema, type RouteFacts } from './common/http/openapi-operation.js';
import { accessTo } from './common/route-access.js';
import { KEYTURN_VERSION } from './common/version.js';

const DESCRIPTION = `Login with signing keys that rotate themselves.

Every error is \`application/problem+json\` (RFC 9457) with a stable \`code\`. Beside what each operation lists, any answer may be
500 \`internal_error\`, a request that is no HTTP or whose path cannot be decoded gets 400 \`invalid_request\`, a slow one 408 \`request_timeout\`, more than 16 KiB of
headers 431 \`headers_too_large\`, and another method 405 \`method_not_allowed\` with \`Allow\`. Unknown members of a body are refused.

In examples, \`<words in angle brackets>\` stand for what you were given. The pages for people are not described here.`;

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

/** What the page at `/docs` is made of. Its package has more. */
const DOCS_FILES: ReadonlySet<unknown> = new Set(
  'swagger-ui.css swagger-ui-bundle.js swagger-ui-standalone-preset.js favicon-16x16.png favicon-32x32.png'.split(' '),
);

/** The API description: a page at `/docs`, the document at `/docs/openapi.json`. */
export function describeApi(app: NestFastifyApplication): void {
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', async ({ routeOptions, params }) => {
      if (routeOptions.url !== '/docs/*' || DOCS_FILES.has(Reflect.get(Object(params), '*'))) return;
      throw new KeyturnError('not_found', 'There is nothing here.');
    });
  SwaggerModule.setup('docs', app, () => documentOf(app), { jsonDocumentUrl: 'docs/openapi.json', raw: ['json'] });
}

function documentOf(app: NestFastifyApplication): OpenAPIObject {
  const about = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Keyturn')
    .setDescription(DESCRIPTION)
    .setVersion(KEYTURN_VERSION)
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'at+jwt (RFC 9068)' })
    .addCookieAuth(
      '__Host-keyturn',
      { type: 'apiKey', in: 'cookie', description: 'For pages of this site: see /session' },
      'cookie',
    )
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'METRICS_TOKEN' }, 'metricsToken')
    .build();
  const document = SwaggerModule.createDocument(app, about, { standardSchemaConverter: toJsonSchema });
  document.components = {
    ...document.components,
    schemas: { ...document.components?.schemas, Problem: problemSchema },
  };
  const facts = factsOf(app);
  for (const path of Object.values(document.paths)) {
    for (const method of METHODS) {
      const found = facts.get(path[method]?.operationId ?? '');
      if (path[method] && found) completeOperation(method, path[method], found);
    }
  }
  return document;
}

/** What the guard and the handlers say of themselves, by the operation's id. */
function factsOf(app: NestFastifyApplication): ReadonlyMap<string, RouteFacts> {
  const controllers = app.get(DiscoveryService, { strict: false }).getControllers();
  const scanner = new MetadataScanner();
  return new Map(
    controllers.flatMap(({ metatype }) => {
      if (typeof metatype !== 'function') return [];
      const prototype: object = metatype.prototype;
      return scanner.getAllMethodNames(prototype).map((name): [string, RouteFacts] => {
        const handler: object = Reflect.get(prototype, name);
        const errors: readonly ErrorCode[] | undefined = Reflect.getMetadata(ERRORS, handler);
        return [`${metatype.name}_${name}`, { access: accessTo(metatype, handler), errors: errors ?? [] }];
      });
    }),
  );
}
