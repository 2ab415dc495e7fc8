import { Injectable } from '@nestjs/common';
import { TokenSettings } from '../token/token-settings.js';
import { KnownDevices } from './known-devices.js';

/** The longest that browsers keep a cookie (RFC 6265bis section 5.5), in seconds. */
const MAX_AGE = 400 * 86_400;

/** The part of a Fastify reply that sets cookies; what is set is added to what is there. */
export interface CookieReply {
  header(name: string, value: string): unknown;
}

/**
 * The cookie of a device on which somebody has logged in. For this host alone, over https alone and out of reach of scripts (`__Host-`:
 * RFC 6265bis section 4.1.3.2); where the issuer is http, in development, its name has the port instead.
 */
@Injectable()
export class DeviceCookie {
  private readonly name: string;
  private readonly secure: boolean;

  constructor(
    { issuer }: TokenSettings,
    private readonly devices: KnownDevices,
  ) {
    const { protocol, port } = new URL(issuer);
    this.secure = protocol === 'https:';
    this.name = this.secure ? '__Host-keyturn-device' : `keyturn-dev-${port || '80'}-device`;
  }

  /** What the device shows; undefined when it has nothing of ours. */
  read(cookies: string | undefined): string | undefined {
    const pair = cookies?.split('; ').find((found) => found.startsWith(`${this.name}=`));
    return pair?.slice(this.name.length + 1);
  }

  /** After a login: from now on the device is known under this name. */
  async write(reply: CookieReply, username: string, cookies: string | undefined): Promise<void> {
    const token = await this.devices.issue(username, this.read(cookies));
    const secure = this.secure ? '; Secure' : '';
    reply.header('set-cookie', `${this.name}=${token}; Max-Age=${MAX_AGE}; Path=/; HttpOnly${secure}; SameSite=Strict`);
  }
}
