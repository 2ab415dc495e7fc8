import { Inject, Injectable } from '@nestjs/common';
import { KeyturnError } from '../../common/errors.js';
import { isLoopback } from '../../common/http/own-address.js';
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
   * The value of the cookie of exactly this name (RFC 6265 section 4.2.1). Ours need no decoding, and nothing is cut off: a blank too many
   * makes another value, and before the name another name. What JavaScript takes for white space is none here: a browser sees no `__Host-`
   * in a name that begins with 0xA0, so any host beside us may have set it. One without a value is none.
   * @throws KeyturnError `invalid_request` when it is there twice. A browser keeps one cookie of such a name: the other was slipped in, and
   * neither the first nor the last is known to be ours.
   */
  read({ headers: { cookie: text } }: CookieRequest, name: string): string | undefined {
    const found = text?.split(/; ?/).filter((pair) => pair.startsWith(`${name}=`)) ?? [];
    if (found.length > 1) throw new KeyturnError('invalid_request', 'The request has a cookie of ours twice.');
    return found[0]?.slice(name.length + 1) || undefined;
  }

  /** @param maxAge seconds; 0 takes it back */
  write(reply: CookieReply, name: string, value: string, maxAge: number): void {
    const secure = this.secure ? '; Secure' : '';
    reply.header('set-cookie', `${name}=${value}; Max-Age=${maxAge}; Path=/; HttpOnly; SameSite=Strict${secure}`);
  }
}
