import { Controller, Get, Module, Req, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AuthGuard, PassportModule, PassportStrategy } from '@nestjs/passport';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { createRemoteJWKSet, decodeProtectedHeader, exportSPKI } from 'jose';
import { ExtractJwt, Strategy } from 'passport-jwt';

const issuer = process.argv[2] ?? ''; // the ISSUER of Keyturn; AUDIENCE is the same unless you set it
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));

/** The key that a token names, from Keyturn's JWKS. */
async function keyOf(token: string): Promise<string> {
  const header = decodeProtectedHeader(token);
  if (header.typ !== 'at+jwt') throw new Error('not an access token');
  return exportSPKI(await keys({ ...header, alg: 'RS256' })); // KEY_ALGORITHM of Keyturn
}

class KeyturnStrategy extends PassportStrategy(Strategy) {
  constructor() {
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKeyProvider: (_request: unknown, token: string, use: (error: unknown, key?: string) => void) =>
        void keyOf(token).then((key) => use(null, key), use),
      algorithms: ['RS256'],
      issuer,
      audience: issuer,
      jsonWebTokenOptions: { clockTolerance: 30 },
    });
  }

  validate(claims: { sub: string; roles: string[]; exp?: number }) {
    return claims.exp !== undefined && { id: claims.sub, roles: claims.roles };
  }
}

@Controller('orders')
@UseGuards(AuthGuard('jwt'))
class OrdersController {
  @Get()
  list(@Req() request: { user: { id: string; roles: string[] } }) {
    return request.user;
  }
}

@Module({ imports: [PassportModule], controllers: [OrdersController], providers: [KeyturnStrategy] })
class OrdersModule {}

const app = await NestFactory.create(OrdersModule, new FastifyAdapter(), { logger: ['error'] });
await app.listen(Number(process.argv[3] ?? 4000), '127.0.0.1');
