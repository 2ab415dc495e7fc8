import { Module } from '@nestjs/common';
import { APP_GUARD, DiscoveryModule } from '@nestjs/core';
import { PassportModule } from '@nestjs/passport';
import { CONFIG, type Config } from '../config/config.js';
import { KeysModule } from '../keys/keys.module.js';
import { AccountController } from './account/account.controller.js';
import { OwnAccount } from './account/own-account.js';
import { UserAdministrationModule } from './administration/user-administration.module.js';
import { UserSessionsController } from './administration/user-sessions.controller.js';
import { UsersController } from './administration/users.controller.js';
import { AuthController } from './auth.controller.js';
import { AuthService } from './auth.service.js';
import { BrowserSession } from './browser/browser-session.js';
import { BrowserSessionController } from './browser/browser-session.controller.js';
import { HostCookies } from './browser/host-cookies.js';
import { SessionCookies } from './browser/session-cookies.js';
import { AccessTokenGuard } from './guard/access-token.guard.js';
import { AccessTokenStrategy } from './guard/access-token.strategy.js';
import { RouteRules } from './guard/route-rules.js';
import { LoginRetention } from './login-history/login-retention.js';
import { MetadataController } from './metadata.controller.js';
import { RefreshSecret } from './session/refresh-secret.js';
import { SessionRetention } from './session/session-retention.js';
import { DeviceCookie } from './throttle/device-cookie.js';
import { KeyedHash } from './throttle/keyed-hash.js';
import { KnownDevices } from './throttle/known-devices.js';
import { Throttle } from './throttle/throttle.js';
import { AccessTokenVerifier } from './token/access-token-verifier.js';
import { TokenIssuer } from './token/token-issuer.js';
import { TokenSettings } from './token/token-settings.js';
import { VerifiedTokens } from './token/verified-tokens.js';

/** Login, tokens, sessions, and the guard before every route. */
@Module({
  imports: [KeysModule, UserAdministrationModule, PassportModule, DiscoveryModule],
  controllers: [
    AuthController,
    BrowserSessionController,
    AccountController,
    UsersController,
    UserSessionsController,
    MetadataController,
  ],
  providers: [
    { provide: TokenSettings, inject: [CONFIG], useFactory: (config: Config) => TokenSettings.of(config) },
    RefreshSecret,
    TokenIssuer,
    AccessTokenVerifier,
    VerifiedTokens,
    AccessTokenStrategy,
    HostCookies,
    KeyedHash,
    KnownDevices,
    DeviceCookie,
    Throttle,
    LoginRetention,
    SessionRetention,
    AuthService,
    SessionCookies,
    BrowserSession,
    OwnAccount,
    RouteRules,
    { provide: APP_GUARD, useClass: AccessTokenGuard },
  ],
  exports: [
    AccessTokenVerifier,
    AuthService,
    BrowserSession,
    OwnAccount,
    SessionCookies,
    Throttle,
    TokenSettings,
    UserAdministrationModule,
  ],
})
export class AuthModule {}
