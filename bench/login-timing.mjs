/**
 * Does the time of a refused login tell whether there is such a user? `npm run bench:login [logins of each group] [--print]`. Unknown, wrong and
 * disabled over real HTTP, one at a time, in random order, so that whatever else the machine does falls on all of them alike.
 * Prints the report and, without --print, writes bench/report.login.md.
 */
import { fork } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { chmod, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedPostgres } from '../dist/src/database/embedded/embedded-postgres.js';

const rounds = Number(process.argv[2] ?? 300);
const WARM_UP = 10;
/** Must-hold 28: how far the medians may lie apart. */
const GOAL = 0.05;
const password = () => `${randomBytes(18).toString('base64url')} of the bench`;
const admin = { username: 'bench-admin', password: password() };

async function main() {
  const world = await mkdtemp(join(await realpath(tmpdir()), 'keyturn-bench-'));
  await chmod(world, 0o755);
  const postgres = await openEmbeddedPostgres({ dataDir: join(world, 'data') });
  let child;
  try {
    child = fork(new URL('./servers.mjs', import.meta.url), ['keyturn'], {
      env: {
        PATH: process.env.PATH,
        KEYTURN_DATA_DIR: join(world, 'data'),
        PORT: '0',
        LOG_LEVEL: 'warn',
        KEYTURN_ADMIN_USERNAME: admin.username,
        KEYTURN_ADMIN_PASSWORD: admin.password,
        // Every login here comes from one address.
        LOGIN_ATTEMPTS: '1000000',
        LOGIN_ATTEMPTS_BY_NAME: '1000000',
        LOGIN_ATTEMPTS_BY_ADDRESS: '1000000',
      },
    });
    const { url } = await new Promise((resolve, reject) => {
      child.once('message', resolve).once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
    });
    const off = { username: 'bench-disabled', password: password() };
    await makeDisabled(url, off);
    await report(
      await measure(url, {
        unknown: () => ({ username: 'bench-nobody', password: admin.password }),
        wrong: () => ({ username: admin.username, password: password() }),
        disabled: () => off,
      }),
      postgres.version,
    );
  } finally {
    child?.disconnect();
    if (child?.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
    await postgres.stop();
    await rm(world, { recursive: true, force: true });
  }
}

async function post(url, path, body, token) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: answer.status, text: await answer.text() };
}

/** A user with a password of their own, who was disabled. */
async function makeDisabled(url, user) {
  const { access_token: token } = JSON.parse((await post(url, '/auth/login', admin)).text);
  const { user: made, code } = JSON.parse((await post(url, '/users', { username: user.username }, token)).text);
  const done = [
    await post(url, '/auth/redeem', { code, password: user.password }),
    await post(url, `/users/${made.id}/disable`, {}, token),
  ];
  for (const { status, text } of done) if (status >= 300) throw new Error(`${status} ${text}`);
}

/** Milliseconds of each login, by group. */
async function measure(url, groups) {
  const names = Object.keys(groups);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const name of shuffled(names)) {
      const body = groups[name]();
      const begun = performance.now();
      const { status, text } = await post(url, '/auth/login', body);
      const took = performance.now() - begun;
      if (status !== 401) throw new Error(`${name}: ${status} ${text}`);
      if (round >= 0) times[name].push(took);
    }
  }
  return times;
}

function shuffled(list) {
  const rest = [...list];
  return list.map(() => rest.splice(randomInt(rest.length), 1)[0]);
}

async function report(times, postgresVersion) {
  const at = (list, part) => list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];
  const rows = Object.entries(times).map(([name, list]) => ({ name, median: at(list, 0.5), p95: at(list, 0.95) }));
  const medians = rows.map(({ median }) => median);
  const apart = Math.max(...medians) / Math.min(...medians) - 1;
  const text = [
    '# The time of a refused login',
    '',
    `${new Date().toISOString().slice(0, 10)}. ${cpus()[0].model}, ${cpus().length} cores; Node ${process.version}; PostgreSQL ${postgresVersion}.`,
    `${rounds} logins of each group over loopback, one at a time, in random order.`,
    '',
    '| group | median, ms | 95 %, ms | median / that of unknown |',
    '|---|---:|---:|---:|',
    ...rows.map(
      ({ name, median, p95 }) =>
        `| ${name} | ${median.toFixed(2)} | ${p95.toFixed(2)} | ${(median / medians[0]).toFixed(3)} |`,
    ),
    '',
    `The medians lie ${(apart * 100).toFixed(1)} % apart; the goal is ${GOAL * 100} % at most: ${apart <= GOAL ? 'met' : 'missed'}.`,
    '',
  ].join('\n');
  process.stdout.write(text);
  if (!process.argv.includes('--print')) await writeFile(new URL('report.login.md', import.meta.url), text);
}

await main();
