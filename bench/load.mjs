/** Requests to a server that is measured: as many as it takes, or each with its own time. */
import { Agent, request } from 'node:http';
import autocannon from 'autocannon';
import { quantile } from './report.mjs';

export const CONNECTIONS = 32;

/**
 * As many requests as the server takes, every one of them answered 200; several tokens are sent in turn. The rate sees all that the machine
 * does, client included; `cpu`, microseconds of the server's own time for each request, what the server does alone.
 */
export async function measure({ server, path, tokens = [] }, duration) {
  let next = 0;
  const bearer = () => ({ authorization: `Bearer ${tokens[next++ % tokens.length]}` });
  const before = await server.ask({});
  const result = await autocannon({
    url: server.url + path,
    connections: CONNECTIONS,
    duration,
    ...(tokens.length === 1 && { headers: bearer() }),
    ...(tokens.length > 1 && {
      requests: [{ setupRequest: (request) => ({ ...request, headers: { ...request.headers, ...bearer() } }) }],
    }),
  });
  const after = await server.ask({});
  const requests = result.requests.total;
  const bad = result.non2xx + result.errors + result.timeouts;
  if (bad > 0) throw new Error(`${bad} of ${requests} requests to ${path} failed`);
  const used = ({ cpu: { user, system } }) => user + system;
  return {
    requests,
    rate: requests / result.duration,
    cpu: (used(after) - used(before)) / requests,
    statements: after.statements - before.statements,
    resident: after.resident,
  };
}

/** What asks the database while nobody asks the server: the poll. */
export async function statementsWhileIdle({ ask }, duration) {
  const before = await ask({});
  await new Promise((resolve) => setTimeout(resolve, duration * 1_000));
  return (await ask({})).statements - before.statements;
}

/** Requests without a pause on a few connections, each with its time, while `work` is done `before` milliseconds after the beginning. */
export async function through(url, token, { before, after }, work) {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const begun = performance.now();
  const taken = [];
  const asking = Array.from({ length: 8 }, async () => {
    while (performance.now() - begun < before + after) {
      const at = performance.now();
      const status = await statusOf(url, token, agent);
      taken.push({ at, took: performance.now() - at, status });
    }
  });
  await new Promise((resolve) => setTimeout(resolve, before));
  const worked = performance.now();
  await work();
  await Promise.all(asking);
  agent.destroy();
  const p99 = (from, to) =>
    quantile(
      taken.filter(({ at }) => at >= from && at < to).map(({ took }) => took),
      0.99,
    );
  return {
    requests: taken.length,
    lost: taken.filter(({ status }) => status !== 200).length,
    p99Before: p99(worked - 1_000, worked),
    p99During: p99(worked, worked + 1_000),
  };
}

const statusOf = (url, token, agent) =>
  new Promise((resolve) => {
    request(url, { agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode));
    })
      .once('error', (error) => resolve(error.code))
      .end();
  });
