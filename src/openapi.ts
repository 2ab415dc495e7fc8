import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { KEYTURN_VERSION } from './common/version.js';

/** The API description: a page at `/docs`, the document at `/docs/openapi.json`. */
export function describeApi(app: NestFastifyApplication): void {
  const about = new DocumentBuilder()
    .setTitle('Keyturn')
    .setDescription(
      'Login with signing keys that rotate themselves. Errors are application/problem+json (RFC 9457) with a stable `code`.',
    )
    .setVersion(KEYTURN_VERSION)
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'at+jwt (RFC 9068)' })
    .build();
  SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, about), {
    jsonDocumentUrl: 'docs/openapi.json',
  });
}
