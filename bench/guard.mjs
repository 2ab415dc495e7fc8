/**
 * What the guard costs: `npm run bench -- [seconds a measurement] [rounds] [--print]`. One route, open and guarded, on Keyturn; the same on the
 * stack that tutorials build, which is installed the first time. Within a round every target is measured once, in an order of its own, so
 * that a ratio compares neighbours in time; after each round the signing key is rotated under load. Prints the report and, without --print,
 * writes bench/reports/guard.*.
 */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CONNECTIONS, measure, statementsWhileIdle, through } from './load.mjs';
import { inWords, machine, publish, shuffled, spread, table } from './report.mjs';
import { admin, demand, inWorld } from './world.mjs';

const [seconds = 5, rounds = 7] = process.argv
  .slice(2)
  .filter((word) => word !== '--print')
  .map(Number);
/** More than the server remembers (10,000), asked in turn: when one comes again it has been forgotten. */
const COLD_TOKENS = 15_000;

const sessionOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()).sid;

/** RS256 checks on one core: no guard can judge new tokens faster. */
function rawVerify() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const message = randomBytes(600);
  const signature = sign('sha256', message, privateKey);
  const [begun, before] = [performance.now(), process.cpuUsage()];
  let checks = 0;
  for (; performance.now() - begun < 1_000; checks++) verify('sha256', message, publicKey, signature);
  const { user, system } = process.cpuUsage(before);
  return { rate: (checks * 1_000) / (performance.now() - begun), cpu: (user + system) / checks };
}

/** A rotation in the middle of guarded requests, once there is a standby to rotate to. */
async function rotate({ url }, token) {
  const pending = async () => {
    const answer = await fetch(`${url}/keys`, { headers: { authorization: `Bearer ${token}` } });
    return (await answer.text()).includes('"pending"');
  };
  while (!(await pending())) await new Promise((resolve) => setTimeout(resolve, 100));
  return through(`${url}/reports/guarded`, token, { before: 2_000, after: 1_500 }, () =>
    demand(url, '/keys/rotate', { force: true, reason: 'benchmark' }, token),
  );
}

/** Each goal of the design that is measured here, as a ratio within a round. `least`: it must reach that; `most`: it must not pass it. */
const GOALS = [
  {
    goal: '1. warm guarded / the same route open',
    least: 0.95,
    ratio: ({ warm, open }) => warm.rate / open.rate,
  },
  {
    goal: '1. the same, by the server’s processor time',
    least: 0.95,
    ratio: ({ warm, open }) => open.cpu / warm.cpu,
  },
  {
    goal: '1. the same, the open route sent the token too: what the guard adds to reading it',
    least: 0.95,
    ratio: (taken) => taken['open, sent a token'].cpu / taken.warm.cpu,
  },
  {
    goal: '2. cold guarded / the limit 1 / (1/open + 1/raw verify)',
    least: 0.75,
    ratio: ({ cold, open, raw }) => cold.rate * (1 / open.rate + 1 / raw.rate),
  },
  {
    goal: '2. the same, by the server’s processor time',
    least: 0.75,
    ratio: ({ cold, open, raw }) => (open.cpu + raw.cpu) / cold.cpu,
  },
  {
    goal: '3. warm guarded / tutorial guarded',
    least: 8,
    ratio: (taken) => taken.warm.rate / taken['tutorial guarded'].rate,
  },
  {
    goal: '5. statements for each warm guarded request, the poll’s taken off',
    most: 0.001, // the poll may fall once more into the one time than into the other
    ratio: ({ warm, idle }) => Math.max(0, warm.statements - idle) / warm.requests,
  },
  {
    goal: '9. p99 of guarded requests in the second of a rotation / in the second before',
    most: 1.5,
    ratio: ({ rotation }) => rotation.p99During / rotation.p99Before,
  },
  { goal: '9. requests lost by a rotation', most: 0, ratio: ({ rotation }) => rotation.lost },
];

async function report(rounds, world, { readyAfter }) {
  const reached = GOALS.map(({ goal, least, most, ratio }) => {
    const seen = spread(rounds.map(ratio));
    return { goal, least, most, seen, met: least === undefined ? seen.median <= most : seen.median >= least };
  });
  const names = ['open', 'open, sent a token', 'warm', 'cold', 'tutorial open', 'tutorial guarded', 'raw'];
  const rows = (what, digits) =>
    names.map((name) => {
      const { median, least, most } = spread(rounds.map((taken) => taken[name][what]));
      return [name, ...[median, least, most].map((number) => number.toFixed(digits))];
    });
  const rotations = rounds.map(({ rotation }) => rotation);
  const resident = Math.max(...rounds.map(({ warm }) => warm.resident)) / 2 ** 20;
  const requests = rounds
    .flatMap(({ open, warm, cold }) => [open, warm, cold])
    .reduce((sum, each) => sum + each.requests, 0);
  const measured = `${rounds.length} rounds of ${seconds} s a target, in a new order each round; ${CONNECTIONS} connections over loopback, client and server on one machine`;
  const lines = [
    '# What the guard costs',
    '',
    inWords(world),
    `${measured}. Ratios are taken within a round.`,
    '',
    ...table(
      ['goal', 'wanted', 'median', 'least', 'most', ''],
      reached.map(({ goal, least, most, seen, met }) => [
        ...[goal, least === undefined ? `≤ ${most}` : `≥ ${least}`],
        ...[seen.median, seen.least, seen.most, met ? 'met' : 'missed'],
      ]),
      3,
    ),
    '',
    ...table(['requests a second', 'median', 'least', 'most'], rows('rate', 0)),
    '',
    ...table(['processor time of the server, µs a request', 'median', 'least', 'most'], rows('cpu', 1)),
    '',
    `Rotations under load: p99 before ${spread(rotations.map(({ p99Before }) => p99Before)).median.toFixed(2)} ms, ` +
      `in the second of the rotation ${spread(rotations.map(({ p99During }) => p99During)).median.toFixed(2)} ms (medians).`,
    `Ready after ${(readyAfter / 1_000).toFixed(1)} s over a new database; resident ${resident.toFixed(0)} MiB at most after ${requests} requests.`,
  ];
  await publish('guard', lines, { machine: world, measured, goals: reached, readyAfter, resident, rounds });
}

/** The tutorial's packages are its own, and nobody's who only runs Keyturn. */
function installTutorial() {
  const place = fileURLToPath(new URL('tutorial/', import.meta.url));
  if (existsSync(`${place}node_modules`)) return;
  execFileSync('npm', ['ci', '--ignore-scripts', '--silent'], { cwd: place, stdio: ['ignore', 2, 2] });
}

installTutorial();
await inWorld(async ({ postgres, serve, keyturn }) => {
  const world = await machine(postgres.version);
  const server = await keyturn({});
  const tutorial = await serve('tutorial/server.mjs', { DATABASE_URL: postgres.urls.app });
  const { access_token: token } = await demand(server.url, '/auth/login', admin);
  const { tokens } = await server.ask({ tokens: COLD_TOKENS, sid: sessionOf(token) });
  const targets = {
    open: { server, path: '/reports/open' },
    'open, sent a token': { server, path: '/reports/open', tokens: [token] },
    warm: { server, path: '/reports/guarded', tokens: [token] },
    cold: { server, path: '/reports/guarded', tokens },
    'tutorial open': { server: tutorial, path: '/reports/open' },
    'tutorial guarded': { server: tutorial, path: '/reports/guarded', tokens: [token] },
  };
  for (const target of Object.values(targets)) await measure(target, 2);
  const taken = [];
  for (let round = 1; round <= rounds; round++) {
    const results = { raw: rawVerify(), idle: await statementsWhileIdle(server, seconds) };
    for (const name of shuffled(Object.keys(targets))) results[name] = await measure(targets[name], seconds);
    results.rotation = await rotate(server, token);
    taken.push(results);
    console.error(`round ${round} of ${rounds}`);
  }
  await report(taken, world, server);
});
