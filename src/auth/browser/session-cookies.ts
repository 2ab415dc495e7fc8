import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import type { TokenPair } from '../auth.service.js';
import { TokenSettings } from '../token/token-settings.js';

/** The parts of a Fastify request in which cookies come. */
export interface CookieRequest {
  readonly headers: { readonly cookie?: string | undefined };
}

/** A Fastify reply: what is set as `set-cookie` is added to what is there. */
export interface CookieReply {
  header(name: string, value: string | string[]): CookieReply;
}

/** The two tokens of a login, as far as a browser brought them. */
export interface CookieTokens {
  readonly access?: string | undefined;
  readonly refresh?: string | undefined;
}

export const NO_COOKIES: CookieTokens = {};

/**
 * A login in cookies: for this host alone, over https alone, out of reach of scripts, and not sent along by other sites
 * (`__Host-`: RFC 6265bis section 4.1.3.2). Only on http://127.0.0.1 in development they are not `Secure`, and carry the port in their
 * name, because cookies of one host are shared by all its ports.
 */
@Injectable()
export class SessionCookies {
  private readonly names: Readonly<Record<'access' | 'refresh', string>>;
  private readonly secure: boolean;

  constructor(@Inject(CONFIG) { production }: Config, { issuer }: TokenSettings) {
    const { protocol, hostname, port } = new URL(issuer);
    this.secure = production || protocol !== 'http:' || !isLoopback(hostname);
    const name = this.secure ? '__Host-keyturn' : `keyturn-dev-${port || '80'}`;
    this.names = { access: name, refresh: `${name}-refresh` };
  }

  read({ headers: { cookie: text } }: CookieRequest): CookieTokens {
    if (text === undefined) return NO_COOKIES;
    return { access: valueOf(text, this.names.access), refresh: valueOf(text, this.names.refresh) };
  }

  /** Each lives as long as the token in it. */
  write(reply: CookieReply, pair: TokenPair): void {
    this.put(reply, [
      [this.names.access, pair.access_token, pair.expires_in],
      [this.names.refresh, pair.refresh_token, pair.refresh_expires_in],
    ]);
  }

  clear(reply: CookieReply): void {
    this.put(reply, [
      [this.names.access, '', 0],
      [this.names.refresh, '', 0],
    ]);
  }

  /** @param cookies name, value, seconds */
  private put(reply: CookieReply, cookies: readonly (readonly [string, string, number])[]): void {
    const rules = `Path=/; HttpOnly; SameSite=Strict${this.secure ? '; Secure' : ''}`;
    const lines = cookies.map(([name, value, maxAge]) => `${name}=${value}; Max-Age=${maxAge}; ${rules}`);
    reply.header('set-cookie', lines).header('cache-control', 'no-store');
  }
}

/** The value of the first cookie of this name (RFC 6265 section 4.2.1). Ours need no decoding; one without a value is none. */
function valueOf(cookies: string, name: string): string | undefined {
  const found = cookies.split(';').find((pair) => pair.trimStart().startsWith(`${name}=`));
  return found?.trim().slice(name.length + 1) || undefined;
}

const isLoopback = (hostname: string): boolean =>
  /^127(\.\d+){3}$/.test(hostname) || hostname === '[::1]' || /(^|\.)localhost$/.test(hostname);
