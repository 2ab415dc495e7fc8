import { randomUUID } from 'node:crypto';
import type { LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { AppModule } from './app.module.js';
import { TokenSettings } from './auth/token/token-settings.js';
import { BODY_LIMIT, limitBodies } from './common/http/bodies.js';
import { refuseOtherMethods } from './common/http/allowed-methods.js';
import { answerClientError } from './common/http/client-errors.js';
import { isLoopback, leadToIssuer } from './common/http/own-address.js';
import { ProblemFilter } from './common/http/problem.filter.js';
import { refuseAmbiguousHeads } from './common/http/request-head.js';
import { addSecurityHeaders, secure } from './common/http/security-headers.js';
import { validationPipe } from './common/http/validation.pipe.js';
import { Tally } from './common/tally.js';
import type { Config } from './config/config.js';
import { problemPage } from './console/problem-page.js';
import { asKeyturnError } from './database/unavailable.js';
import { describeApi } from './openapi.js';

const HEADER_LIMIT = 16 * 1024;

/** The HTTP application over a database that is ready. Not listening yet. */
export async function createServer(
  config: Config,
  databaseUrl: string,
  logger: LoggerService,
): Promise<NestFastifyApplication> {
  let problems: ProblemFilter | undefined;
  let https = false;
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    requestTimeout: 30_000,
    genReqId: () => randomUUID(),
    trustProxy: config.http.trustedProxies.length > 0 ? [...config.http.trustedProxies] : false,
    forceCloseConnections: 'idle',
    // What has reached us is answered as always; the answer says that the connection closes.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    http: { headersTimeout: 10_000, maxHeaderSize: HEADER_LIMIT, requireHostHeader: false },
    // What is too long in a path is refused where it is read, like everything else that is no id.
    routerOptions: { maxParamLength: HEADER_LIMIT },
    // A path that cannot be decoded, before any hook and any filter.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      secure(request, reply, https);
      problems?.answer(error, request, reply);
    },
  });
  refuseAmbiguousHeads(adapter.getInstance());
  refuseOtherMethods(adapter.getInstance());
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.register(config, databaseUrl), adapter, {
    logger,
    abortOnError: false,
  });
  limitBodies(app);
  problems = new ProblemFilter(app.get(Tally), asKeyturnError, problemPage);
  app.useGlobalFilters(problems);
  app.useGlobalPipes(validationPipe());
  const { issuer, origin } = app.get(TokenSettings);
  https = issuer.startsWith('https://');
  if (!config.production && !https && isLoopback(new URL(origin).hostname)) leadToIssuer(adapter.getInstance(), origin);
  addSecurityHeaders(adapter.getInstance(), https);
  describeApi(app);
  return app;
}
