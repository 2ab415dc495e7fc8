import { Injectable } from '@nestjs/common';
import { AuthService, type TokenPair } from '../auth.service.js';
import { deviceOf, type ClientRequest } from '../login-history/attempt.js';
import { AccessTokenVerifier, TokenRefused } from '../token/access-token-verifier.js';
import { DeviceCookie } from '../throttle/device-cookie.js';
import type { CookieReply, CookieRequest } from './host-cookies.js';
import { SessionCookies, type CookieTokens } from './session-cookies.js';

export type BrowserRequest = ClientRequest & CookieRequest;

/** The same login as everybody's, its tokens in cookies. */
@Injectable()
export class BrowserSession {
  constructor(
    private readonly auth: AuthService,
    private readonly cookies: SessionCookies,
    private readonly devices: DeviceCookie,
    private readonly verifier: AccessTokenVerifier,
  ) {}

  /**
   * Logs in. A session that the browser had before ends: its cookies are overwritten, so nobody could end it any more.
   * @throws KeyturnError as {@link AuthService.login}; `invalid_request` when a cookie of ours is there twice
   */
  async begin(username: string, password: string, request: BrowserRequest, reply: CookieReply): Promise<TokenPair> {
    const device = { ...deviceOf(request), knownDevice: this.devices.read(request) };
    const before = this.cookies.read(request);
    const pair = await this.auth.login(username, password, device);
    await this.endSessionOf(before);
    this.cookies.write(reply, pair);
    await this.devices.write(reply, username, request);
    return pair;
  }

  /**
   * Spends the refresh token of the cookie. One that is refused stays: a late answer must not take the cookies of a login that the browser
   * has made meanwhile. The next login overwrites it.
   * @throws KeyturnError as {@link AuthService.refresh}
   */
  async renew(request: BrowserRequest, reply: CookieReply): Promise<TokenPair> {
    const pair = await this.auth.refresh(this.cookies.read(request).refresh ?? '', deviceOf(request));
    this.cookies.write(reply, pair);
    return pair;
  }

  /** Logs out; the cookies go when the session has ended. @throws KeyturnError `database_unavailable` */
  async end(request: BrowserRequest, reply: CookieReply): Promise<void> {
    await this.endSessionOf(this.cookies.read(request));
    this.cookies.clear(reply);
  }

  /** The refresh token ends its session even when the access token has run out, and there may be one of the two only. */
  private async endSessionOf({ access, refresh }: CookieTokens): Promise<void> {
    if (refresh !== undefined && (await this.auth.logoutByRefreshToken(refresh))) return;
    if (access === undefined) return;
    try {
      await this.auth.logout((await this.verifier.verify(access)).sessionId);
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
    }
  }
}
