import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { KeyturnError } from '../../common/errors.js';
import { KeyRefresh } from '../../keys/ring/key-refresh.js';
import { KeyRing } from '../../keys/ring/key-ring.js';
import { KeyVault } from '../../keys/vault/key-vault.js';
import type { SessionAtHand } from '../session/session-store.js';
import type { AccessTokenClaims } from './parse-access-token.js';
import { TokenSettings } from './token-settings.js';

export interface IssuedToken {
  readonly accessToken: string;
  /** Seconds. */
  readonly expiresIn: number;
}

/** Issues access tokens in the profile of RFC 9068. */
@Injectable()
export class TokenIssuer {
  constructor(
    private readonly settings: TokenSettings,
    private readonly vault: KeyVault,
    private readonly ring: KeyRing,
    private readonly refresh: KeyRefresh,
  ) {}

  /**
   * Before work is begun that ends in a token: none is made for which there would be no signature.
   * @throws KeyturnError `signing_unavailable`, `database_unavailable`
   */
  async refuseWhenSilent(): Promise<void> {
    if (this.canSign()) return;
    // Another server may have made a key that we have not heard of yet.
    await this.refresh.load();
    if (!this.canSign()) throw noSigner();
  }

  private canSign(): boolean {
    const signer = this.ring.signer();
    return signer !== undefined && this.vault.canSign(signer);
  }

  /**
   * A token for a session that was just written or read.
   * @throws KeyturnError `signing_unavailable`, `database_unavailable`
   */
  async issue(session: SessionAtHand): Promise<IssuedToken> {
    // That statement came from the primary: no server signs with a key that it should know is gone.
    if (!this.ring.knows(session.keyGeneration)) await this.refresh.atLeast(session.keyGeneration);
    const signer = this.ring.signer();
    if (!signer) throw noSigner();
    const issuedAt = Math.floor(session.now / 1_000);
    const endsAt = Math.floor(Math.min(session.expiresAt, session.idleExpiresAt) / 1_000);
    const ttl = Math.floor(Math.min(this.settings.accessTokenTtl, signer.maxTokenTtl) / 1_000);
    const expiresIn = Math.max(1, Math.min(ttl, endsAt - issuedAt));
    const claims: AccessTokenClaims = {
      iss: this.settings.issuer,
      aud: this.settings.audience,
      sub: session.userId,
      client_id: this.settings.clientId,
      iat: issuedAt,
      exp: issuedAt + expiresIn,
      jti: randomBytes(16).toString('base64url'),
      sid: session.id,
      ver: session.ver,
      auth_time: Math.floor(session.createdAt / 1_000),
      roles: session.roles,
    };
    return { accessToken: await this.vault.sign(signer, { ...claims }, 'at+jwt'), expiresIn };
  }
}

const noSigner = (): KeyturnError =>
  new KeyturnError('signing_unavailable', 'No token can be signed at the moment: no active key can be used here.', {
    retryAfter: 5,
  });
