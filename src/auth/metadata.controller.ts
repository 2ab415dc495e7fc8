import { Controller, Get, Header, Inject } from '@nestjs/common';
import { Public } from '../common/access.js';
import { CONFIG, type Config } from '../config/config.js';
import { TokenSettings } from './token/token-settings.js';

/** Authorization server metadata (RFC 8414): what a resource server needs to verify our tokens. */
@Public()
@Controller('.well-known/oauth-authorization-server')
export class MetadataController {
  constructor(
    private readonly settings: TokenSettings,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Get()
  @Header('cache-control', 'public, max-age=3600')
  metadata() {
    const { issuer } = this.settings;
    return {
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      // RFC 8414 section 2 requires the member; there is neither an authorization endpoint nor an OAuth token endpoint here.
      response_types_supported: [],
      grant_types_supported: [],
      service_documentation: `${issuer}/docs`,
      access_token_signing_alg_values_supported: [this.config.keys.algorithm],
    };
  }
}
