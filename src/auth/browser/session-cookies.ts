import { Injectable } from '@nestjs/common';
import type { TokenPair } from '../auth.service.js';
import { HostCookies, type CookieReply, type CookieRequest } from './host-cookies.js';

/** The two tokens of a login, as far as a browser brought them. */
export interface CookieTokens {
  readonly access?: string | undefined;
  readonly refresh?: string | undefined;
}

export const NO_COOKIES: CookieTokens = {};

/** A login in cookies. */
@Injectable()
export class SessionCookies {
  private readonly names: Readonly<Record<'access' | 'refresh', string>>;

  constructor(private readonly cookies: HostCookies) {
    this.names = { access: cookies.prefix, refresh: `${cookies.prefix}-refresh` };
  }

  read(request: CookieRequest): CookieTokens {
    if (request.headers.cookie === undefined) return NO_COOKIES;
    return {
      access: this.cookies.read(request, this.names.access),
      refresh: this.cookies.read(request, this.names.refresh),
    };
  }

  /** Each lives as long as the token in it. */
  write(reply: CookieReply, pair: TokenPair): void {
    this.cookies.write(reply, this.names.access, pair.access_token, pair.expires_in);
    this.cookies.write(reply, this.names.refresh, pair.refresh_token, pair.refresh_expires_in);
    reply.header('cache-control', 'no-store');
  }

  clear(reply: CookieReply): void {
    for (const name of Object.values(this.names)) this.cookies.write(reply, name, '', 0);
    reply.header('cache-control', 'no-store');
  }
}
