import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { PassportModule } from '@nestjs/passport';
import { CONFIG, type Config } from '../config/config.js';
import { KeysModule } from '../keys/keys.module.js';
import { UsersModule } from '../users/users.module.js';
import { AuthController } from './auth.controller.js';
import { AuthService } from './auth.service.js';
import { OneTimeCodes } from './codes/one-time-codes.js';
import { AccessTokenGuard } from './guard/access-token.guard.js';
import { AccessTokenStrategy } from './guard/access-token.strategy.js';
import { MetadataController } from './metadata.controller.js';
import { RefreshSecret } from './session/refresh-secret.js';
import { SessionMemory } from './session/session-memory.js';
import { SessionStore } from './session/session-store.js';
import { AccessTokenVerifier } from './token/access-token-verifier.js';
import { TokenIssuer } from './token/token-issuer.js';
import { TokenSettings } from './token/token-settings.js';
import { VerifiedTokens } from './token/verified-tokens.js';

/** Login, tokens, sessions, and the guard before every route. */
@Module({
  imports: [KeysModule, UsersModule, PassportModule],
  controllers: [AuthController, MetadataController],
  providers: [
    { provide: TokenSettings, inject: [CONFIG], useFactory: (config: Config) => TokenSettings.of(config) },
    SessionStore,
    SessionMemory,
    RefreshSecret,
    TokenIssuer,
    AccessTokenVerifier,
    VerifiedTokens,
    AccessTokenStrategy,
    AuthService,
    OneTimeCodes,
    { provide: APP_GUARD, useClass: AccessTokenGuard },
  ],
  exports: [AccessTokenVerifier, AuthService, OneTimeCodes],
})
export class AuthModule {}
