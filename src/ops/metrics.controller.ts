import { createHash, timingSafeEqual } from 'node:crypto';
import { Controller, Get, Header, Inject, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiProduces, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { bearerToken, type CredentialRequest } from '../auth/guard/credentials.js';
import { Public } from '../common/access.js';
import { KeyturnError } from '../common/errors.js';
import { Documented } from '../common/http/documented.js';
import { CONFIG, type Config } from '../config/config.js';
import { Metrics } from './metrics.js';

interface Reply {
  header(name: string, value: string): unknown;
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** @throws KeyturnError `missing_token`, `invalid_token` unless the request has the token, where one is wanted */
export function refuseStranger(request: CredentialRequest, wanted: string | undefined): void {
  if (wanted === undefined) return;
  const given = bearerToken(request);
  if (given === undefined) throw new KeyturnError('missing_token', 'Send METRICS_TOKEN as Authorization: Bearer.');
  if (!timingSafeEqual(digest(given), digest(wanted)))
    throw new KeyturnError('invalid_token', 'This is not METRICS_TOKEN.');
}

@ApiTags('operations')
@Controller()
export class MetricsController {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly metrics: Metrics,
  ) {}

  /** For Prometheus, with METRICS_TOKEN. Not here while that is unset, or METRICS_BIND gives it an address of its own. */
  @Documented(
    'For Prometheus, with METRICS_TOKEN. Not here without one',
    { 200: z.string() },
    'invalid_request',
    'missing_token',
    'invalid_token',
    'not_found',
  )
  @Public()
  @ApiBearerAuth('metricsToken')
  @ApiProduces('text/plain')
  @Get('metrics')
  @Header('cache-control', 'no-store')
  async read(@Req() request: CredentialRequest, @Res({ passthrough: true }) reply: Reply): Promise<string> {
    const { token, bind } = this.config.metrics;
    if (token === undefined || bind !== undefined) throw new KeyturnError('not_found', 'There is nothing here.');
    refuseStranger(request, token);
    reply.header('content-type', this.metrics.contentType);
    return this.metrics.read();
  }
}
