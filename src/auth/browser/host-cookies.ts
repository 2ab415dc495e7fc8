import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../../config/config.js';
import { TokenSettings } from '../token/token-settings.js';

/** The parts of a Fastify request in which cookies come. */
export interface CookieRequest {
  readonly headers: { readonly cookie?: string | undefined };
}

/** A Fastify reply: what is set as `set-cookie` is added to what is there. */
export interface CookieReply {
  header(name: string, value: string | string[]): CookieReply;
}

/**
 * How every cookie of ours is named, read and written: for this host alone, over https alone, out of reach of scripts, and not sent along by
 * other sites (`__Host-`: RFC 6265bis section 4.1.3.2). Only on http://127.0.0.1 in development they are not `Secure`, and carry the port in
 * their name, because cookies of one host are shared by all its ports.
 */
@Injectable()
export class HostCookies {
  /** What the names of all of them begin with. */
  readonly prefix: string;
  private readonly secure: boolean;

  constructor(@Inject(CONFIG) { production }: Config, { issuer }: TokenSettings) {
    const { protocol, hostname, port } = new URL(issuer);
    this.secure = production || protocol !== 'http:' || !isLoopback(hostname);
    this.prefix = this.secure ? '__Host-keyturn' : `keyturn-dev-${port || '80'}`;
  }

  /**
   * The value of the first cookie of this name (RFC 6265 section 4.2.1). Ours need no decoding, and nothing is cut off: a blank too many
   * makes another value. One without a value is none.
   */
  read({ headers: { cookie: text } }: CookieRequest, name: string): string | undefined {
    const found = text?.split(/; ?/).find((pair) => pair.startsWith(`${name}=`));
    return found?.slice(name.length + 1) || undefined;
  }

  /** @param maxAge seconds; 0 takes it back */
  write(reply: CookieReply, name: string, value: string, maxAge: number): void {
    const secure = this.secure ? '; Secure' : '';
    reply.header('set-cookie', `${name}=${value}; Max-Age=${maxAge}; Path=/; HttpOnly; SameSite=Strict${secure}`);
  }
}

const isLoopback = (hostname: string): boolean =>
  /^127(\.\d+){3}$/.test(hostname) || hostname === '[::1]' || /(^|\.)localhost$/.test(hostname);
