import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Public } from '../common/access.js';
import { Documented } from '../common/http/documented.js';
import { CONFIG, type Config } from '../config/config.js';
import { KeyRefresh } from '../keys/ring/key-refresh.js';
import { serverMetadata } from './auth.schemas.js';
import { TokenSettings } from './token/token-settings.js';

/** The part of a Fastify reply that a header needs. */
interface Reply {
  header(name: string, value: string): unknown;
}

/** Authorization server metadata (RFC 8414): what a resource server needs to verify our tokens. As new as JWKS. */
@ApiTags('for other services')
@Public()
@Controller('.well-known/oauth-authorization-server')
export class MetadataController {
  constructor(
    private readonly settings: TokenSettings,
    private readonly keys: KeyRefresh,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Documented('Authorization server metadata (RFC 8414)', { 200: serverMetadata }, 'keys_unavailable')
  @Get()
  metadata(@Res({ passthrough: true }) reply: Reply) {
    const algorithms = new Set(this.keys.published().map(({ algorithm }) => algorithm));
    reply.header('cache-control', `public, max-age=${Math.floor(this.config.keys.jwksMaxAge / 1_000)}`);
    const { issuer } = this.settings;
    return {
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      // RFC 8414 section 2 requires the member; there is neither an authorization endpoint nor an OAuth token endpoint here.
      response_types_supported: [],
      grant_types_supported: [],
      service_documentation: `${issuer}/docs`,
      access_token_signing_alg_values_supported: [...algorithms],
    };
  }
}
