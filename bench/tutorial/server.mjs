/**
 * What the tutorials build: Nest on Express, the stock guard of passport-jwt, and the public key's row read on every request. The same two
 * routes as those of bench/servers.mjs. Sends `{ url }` when it listens; answers any order with the processor time it has used.
 */
import { createPublicKey } from 'node:crypto';
import { Controller, Get, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AuthGuard, PassportModule, PassportStrategy } from '@nestjs/passport';
import { ExtractJwt, Strategy } from 'passport-jwt';
import pg from 'pg';

const ANSWER = { report: 'payroll', pages: 12 };

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
pool.on('error', () => {});

async function readKey(token, done) {
  try {
    const { kid } = JSON.parse(Buffer.from(token.split('.', 1)[0], 'base64url').toString());
    const { rows } = await pool.query('SELECT public_jwk FROM keyturn.signing_keys WHERE kid = $1', [kid]);
    done(null, createPublicKey({ key: rows[0].public_jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' }));
  } catch (error) {
    done(error);
  }
}

class TutorialStrategy extends PassportStrategy(Strategy) {
  constructor() {
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      algorithms: ['RS256'],
      secretOrKeyProvider: (_request, token, done) => void readKey(token, done),
    });
  }

  validate({ sub, roles }) {
    return { id: sub, roles };
  }
}

class Reports {
  open() {
    return ANSWER;
  }

  guarded() {
    return ANSWER;
  }
}
for (const [method, decorators] of [
  ['open', [Get('open')]],
  ['guarded', [Get('guarded'), UseGuards(AuthGuard('jwt'))]],
]) {
  const descriptor = Object.getOwnPropertyDescriptor(Reports.prototype, method);
  for (const decorator of decorators) decorator(Reports.prototype, method, descriptor);
}
Controller('reports')(Reports);

class Tutorial {}
Module({ imports: [PassportModule], controllers: [Reports], providers: [TutorialStrategy] })(Tutorial);

const app = await NestFactory.create(Tutorial, { logger: false });
await app.listen(0, '127.0.0.1');
process.once('disconnect', () => process.exit());
process.on('message', () => process.send({ cpu: process.cpuUsage(), statements: 0 }));
process.send({ url: `http://127.0.0.1:${app.getHttpServer().address().port}` });
