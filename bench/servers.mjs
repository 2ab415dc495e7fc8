/**
 * Keyturn as it is started, with two routes beside it that differ in nothing but the guard. Forked by bench/world.mjs; settings come from the
 * environment. Sends `{ url }` when it listens. `{ tokens: n, sid }` is answered with n new access tokens, any other order with what the
 * process has used so far. Ends when its parent does.
 */
import { Writable } from 'node:stream';
import { Controller, Get, Module } from '@nestjs/common';
import pg from 'pg';
import { AppModule, Public, loadConfig } from '../dist/src/index.js';
import { SessionStore } from '../dist/src/auth/session/session-store.js';
import { TokenIssuer } from '../dist/src/auth/token/token-issuer.js';
import { run } from '../dist/src/start.js';

const ANSWER = { report: 'payroll', pages: 12 };

class Reports {
  open() {
    return ANSWER;
  }

  guarded() {
    return ANSWER;
  }
}
for (const [method, decorators] of [
  ['open', [Get('open'), Public()]],
  ['guarded', [Get('guarded')]],
]) {
  const descriptor = Object.getOwnPropertyDescriptor(Reports.prototype, method);
  for (const decorator of decorators) decorator(Reports.prototype, method, descriptor);
}
Controller('reports')(Reports);
class Feature {}
Module({ controllers: [Reports] })(Feature);
class Beside {}

/** Every statement that any connection of this process sends. */
let statements = 0;
const query = Reflect.get(pg.Client.prototype, 'query');
pg.Client.prototype.query = function (...asked) {
  statements++;
  return query.apply(this, asked);
};

/** No two alike, so that none was seen before. */
async function newTokens({ tokens, sid }) {
  const session = await running.app.get(SessionStore).find(sid);
  const made = [];
  while (made.length < tokens) {
    const some = Array.from({ length: Math.min(500, tokens - made.length) }, () =>
      running.app.get(TokenIssuer).issue(session),
    );
    for (const { accessToken } of await Promise.all(some)) made.push(accessToken);
  }
  return { tokens: made };
}

const register = AppModule.register.bind(AppModule);
AppModule.register = (...given) => ({ module: Beside, imports: [register(...given), Feature] });
const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
const running = await run(loadConfig(process.env), nowhere);
process.once('disconnect', () => void running.stop().finally(() => process.exit()));
const used = () => ({ cpu: process.cpuUsage(), statements, resident: process.memoryUsage.rss() });
process.on('message', (order) => {
  void Promise.resolve(order.tokens === undefined ? used() : newTokens(order)).then((answer) => process.send(answer));
});
process.send({ url: running.url });
