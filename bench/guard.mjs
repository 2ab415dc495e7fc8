/**
 * What the guard costs: `npm run bench [seconds a measurement] [rounds]`. One route, open and guarded, on Keyturn; the same on the stack
 * that tutorials build. Within a round every target is measured once, in turns, so that a ratio compares neighbours in time.
 * Prints the report and writes bench/report.md and bench/report.json.
 */
import { fork } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { mkdtemp, realpath, rm, writeFile, chmod } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { openEmbeddedPostgres } from '../dist/src/database/embedded/embedded-postgres.js';

const [seconds = 4, rounds = 5] = process.argv.slice(2).map(Number);
const CONNECTIONS = 32;
/** More than the server remembers (10,000), asked in turn: when one comes again it has been forgotten. */
const COLD_TOKENS = 15_000;
const admin = { username: 'bench-admin', password: randomBytes(24).toString('base64url') };

async function main() {
  const world = await mkdtemp(join(await realpath(tmpdir()), 'keyturn-bench-'));
  await chmod(world, 0o755);
  const postgres = await openEmbeddedPostgres({ dataDir: join(world, 'data') });
  const children = [];
  try {
    const { url, ask } = await serve('keyturn', {
      KEYTURN_DATA_DIR: join(world, 'data'),
      PORT: '0',
      LOG_LEVEL: 'warn',
      KEYTURN_ADMIN_USERNAME: admin.username,
      KEYTURN_ADMIN_PASSWORD: admin.password,
    });
    const tutorial = await serve('tutorial', { DATABASE_URL: postgres.urls.app });
    const token = await login(url);
    const { tokens: cold } = await ask({ tokens: COLD_TOKENS, sid: sessionOf(token) });
    const targets = {
      open: { url: `${url}/reports/open` },
      warm: { url: `${url}/reports/guarded`, tokens: [token] },
      cold: { url: `${url}/reports/guarded`, tokens: cold },
      'tutorial open': { url: `${tutorial.url}/reports/open` },
      'tutorial guarded': { url: `${tutorial.url}/reports/guarded`, tokens: [token] },
    };
    for (const target of Object.values(targets)) await measure(target, 1);
    const taken = [];
    for (let round = 0; round < rounds; round++) {
      const rates = { 'raw verify': rawVerify() };
      for (const [name, target] of Object.entries(targets)) rates[name] = await measure(target, seconds);
      taken.push(rates);
      console.error(`round ${round + 1} of ${rounds}`, rates);
    }
    await report(taken, postgres.version);
  } finally {
    for (const child of children) child.disconnect();
    await Promise.all(children.map((child) => new Promise((resolve) => child.once('exit', resolve))));
    await postgres.stop();
    await rm(world, { recursive: true, force: true });
  }

  async function serve(kind, environment) {
    const child = fork(new URL('./servers.mjs', import.meta.url), [kind], {
      env: { PATH: process.env.PATH, ...environment },
    });
    children.push(child);
    const answer = () =>
      new Promise((resolve, reject) => {
        child.once('message', resolve).once('exit', (code) => reject(new Error(`${kind} ended with ${code}`)));
      });
    const { url } = await answer();
    return { url, ask: (order) => (child.send(order), answer()) };
  }
}

async function login(url) {
  const answer = await fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(admin),
  });
  if (!answer.ok) throw new Error(`login: ${answer.status} ${await answer.text()}`);
  return (await answer.json()).access_token;
}

const sessionOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()).sid;

/** Requests a second, every one of them answered 200. Several tokens are sent in turn. */
async function measure({ url, tokens = [] }, duration) {
  let next = 0;
  const bearer = () => ({ authorization: `Bearer ${tokens[next++ % tokens.length]}` });
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration,
    ...(tokens.length === 1 && { headers: bearer() }),
    ...(tokens.length > 1 && {
      requests: [{ setupRequest: (request) => ({ ...request, headers: { ...request.headers, ...bearer() } }) }],
    }),
  });
  const bad = result.non2xx + result.errors + result.timeouts;
  if (bad > 0) throw new Error(`${bad} of ${result.requests.total} requests to ${url} failed`);
  return result.requests.total / result.duration;
}

/** RS256 checks a second on one core: no guard can judge new tokens faster. */
function rawVerify() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const message = randomBytes(600);
  const signature = sign('sha256', message, privateKey);
  const begun = performance.now();
  let checks = 0;
  for (; performance.now() - begun < 1_000; checks++) verify('sha256', message, publicKey, signature);
  return checks;
}

async function report(taken, postgresVersion) {
  const rows = Object.keys(taken[0]).map((name) => ({ name, ...spread(taken.map((rates) => rates[name])) }));
  const ratios = {
    'warm guarded / open (goal 0.95)': (r) => r.warm / r.open,
    'cold guarded / the limit of raw verify (goal 0.75)': (r) => r.cold * (1 / r.open + 1 / r['raw verify']),
    'tutorial guarded / tutorial open': (r) => r['tutorial guarded'] / r['tutorial open'],
    'warm guarded / tutorial guarded (goal 8)': (r) => r.warm / r['tutorial guarded'],
  };
  const compared = Object.entries(ratios).map(([name, ratio]) => ({ name, ...spread(taken.map(ratio)) }));
  const machine = `${cpus()[0].model}, ${cpus().length} cores; Node ${process.version}; PostgreSQL ${postgresVersion}`;
  const measured = `${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections over loopback, client and server on one machine`;
  const text = [
    '# What the guard costs',
    '',
    `${new Date().toISOString().slice(0, 10)}. ${machine}. ${measured}.`,
    '',
    ...table('requests a second', rows, 0),
    '',
    ...table('ratio, within a round', compared, 2),
    '',
  ].join('\n');
  process.stdout.write(text);
  await writeFile(new URL('report.md', import.meta.url), text);
  const json = { machine, measured, rates: rows, ratios: compared, rounds: taken };
  await writeFile(new URL('report.json', import.meta.url), `${JSON.stringify(json, undefined, 2)}\n`);
}

const table = (head, list, digits) => [
  `| ${head} | median | least | most |`,
  '|---|---:|---:|---:|',
  ...list.map(
    ({ name, median, least, most }) =>
      `| ${[name, ...[median, least, most].map((n) => n.toFixed(digits))].join(' | ')} |`,
  ),
];

function spread(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)], least: sorted[0], most: sorted.at(-1) };
}

await main();
