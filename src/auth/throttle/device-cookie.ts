import { Injectable } from '@nestjs/common';
import { HostCookies, type CookieReply, type CookieRequest } from '../browser/host-cookies.js';
import { KnownDevices } from './known-devices.js';

/** The longest that browsers keep a cookie (RFC 6265bis section 5.5), in seconds. */
const MAX_AGE = 400 * 86_400;

/** The cookie of a device on which somebody has logged in. */
@Injectable()
export class DeviceCookie {
  private readonly name: string;

  constructor(
    private readonly cookies: HostCookies,
    private readonly devices: KnownDevices,
  ) {
    this.name = `${cookies.prefix}-device`;
  }

  /** What the device shows; undefined when it has nothing of ours. */
  read(request: CookieRequest): string | undefined {
    return this.cookies.read(request, this.name);
  }

  /** After a login: from now on the device is known under this name. */
  async write(reply: CookieReply, username: string, request: CookieRequest): Promise<void> {
    this.cookies.write(reply, this.name, await this.devices.issue(username, this.read(request)), MAX_AGE);
  }
}
