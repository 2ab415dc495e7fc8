/**
 * The servers that are measured, each a process of its own, forked: `bench/servers.mjs keyturn|tutorial`. Settings come from the
 * environment. Sends `{ url }` when it listens; Keyturn answers `{ tokens: n, sid }` with n new access tokens. Ends when its parent does.
 */
import { createPublicKey } from 'node:crypto';
import { Writable } from 'node:stream';
import { Controller, Get, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AuthGuard, PassportModule, PassportStrategy } from '@nestjs/passport';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ExtractJwt, Strategy } from 'passport-jwt';
import pg from 'pg';

const ANSWER = { report: 'payroll', pages: 12 };

/** Two routes that differ in nothing but the guard. */
function reports({ open, guarded }) {
  class Reports {
    open() {
      return ANSWER;
    }
    guarded() {
      return ANSWER;
    }
  }
  decorate(Reports, 'open', Get('open'), ...open);
  decorate(Reports, 'guarded', Get('guarded'), ...guarded);
  Controller('reports')(Reports);
  return Reports;
}

function decorate(type, method, ...decorators) {
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, method);
  for (const decorator of decorators) decorator(type.prototype, method, descriptor);
}

function feature(controller, providers = [], imports = []) {
  class Feature {}
  Module({ controllers: [controller], providers, imports })(Feature);
  return Feature;
}

/** Keyturn as it is started, with the two routes beside it. */
async function keyturn() {
  const { AppModule, Public, loadConfig } = await import('../dist/src/index.js');
  const { run } = await import('../dist/src/start.js');
  const register = AppModule.register.bind(AppModule);
  class Beside {}
  const routes = feature(reports({ open: [Public()], guarded: [] }));
  AppModule.register = (...given) => ({ module: Beside, imports: [register(...given), routes] });
  return run(loadConfig(process.env), new Writable({ write: (_chunk, _encoding, done) => done() }));
}

/** What the tutorials build: the stock guard, and the public key's row read on every request. On Fastify, so that only the guard differs. */
async function tutorial() {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
  pool.on('error', () => {});
  const readKey = async (token, done) => {
    try {
      const { kid } = JSON.parse(Buffer.from(token.split('.', 1)[0], 'base64url').toString());
      const { rows } = await pool.query('SELECT public_jwk FROM keyturn.signing_keys WHERE kid = $1', [kid]);
      const key = createPublicKey({ key: rows[0].public_jwk, format: 'jwk' });
      done(null, key.export({ type: 'spki', format: 'pem' }));
    } catch (error) {
      done(error);
    }
  };
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
  const controller = reports({ open: [], guarded: [UseGuards(AuthGuard('jwt'))] });
  const adapter = new FastifyAdapter();
  const app = await NestFactory.create(feature(controller, [TutorialStrategy], [PassportModule]), adapter, {
    logger: false,
  });
  await app.listen(0, '127.0.0.1');
  return { app, url: await app.getUrl(), stop: () => app.close() };
}

/** New access tokens of one session: no two alike, so that none was seen before. */
async function newTokens(app, { tokens, sid }) {
  const { TokenIssuer } = await import('../dist/src/auth/token/token-issuer.js');
  const { SessionStore } = await import('../dist/src/auth/session/session-store.js');
  const session = await app.get(SessionStore).find(sid);
  const made = [];
  while (made.length < tokens) {
    const some = Array.from({ length: Math.min(500, tokens - made.length) }, () => app.get(TokenIssuer).issue(session));
    for (const { accessToken } of await Promise.all(some)) made.push(accessToken);
  }
  return made;
}

const { app, url, stop } = await { keyturn, tutorial }[process.argv[2]]();
process.once('disconnect', () => void stop().finally(() => process.exit()));
process.on('message', (order) => void newTokens(app, order).then((tokens) => process.send({ tokens })));
process.send({ url });
