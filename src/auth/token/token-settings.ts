import type { Config } from '../../config/config.js';

/** What every token says of where it comes from and for whom it is, and how its times are judged. Lengths in milliseconds. */
export class TokenSettings {
  private constructor(
    readonly issuer: string,
    readonly audience: string,
    readonly clientId: string,
    readonly accessTokenTtl: number,
    readonly clockSkew: number,
    readonly refreshBound: number,
  ) {}

  /** Scheme, host and port under which browsers know this service (RFC 6454). */
  get origin(): string {
    return new URL(this.issuer).origin;
  }

  static of({ http, tokens, keys }: Config): TokenSettings {
    const issuer = (
      tokens.issuer ?? `http://${http.host.includes(':') ? `[${http.host}]` : http.host}:${http.port}`
    ).replace(/\/$/, '');
    return new TokenSettings(
      issuer,
      tokens.audience ?? issuer,
      tokens.clientId,
      tokens.accessTokenTtl,
      keys.clockSkew,
      keys.refreshBound,
    );
  }
}
