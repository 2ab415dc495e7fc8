/** A database of one's own and the servers that are measured, each a process of its own. */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedPostgres } from '../dist/src/database/embedded/embedded-postgres.js';

export const newPassword = () => `${randomBytes(18).toString('base64url')} of the bench`;
export const admin = { username: 'bench-admin', password: newPassword() };

/** Does `work({ postgres, keyturn, serve })`, and leaves nothing behind. */
export async function inWorld(work) {
  const place = await mkdtemp(join(await realpath(tmpdir()), 'keyturn-bench-'));
  await chmod(place, 0o755);
  const dataDir = join(place, 'data');
  const postgres = await openEmbeddedPostgres({ dataDir });
  const children = [];
  try {
    const serve = (script, settings) => start(children, new URL(script, import.meta.url), settings);
    const keyturn = (settings) =>
      serve('servers.mjs', {
        ...{ KEYTURN_DATA_DIR: dataDir, PORT: '0', LOG_LEVEL: 'warn' },
        ...{ KEYTURN_ADMIN_USERNAME: admin.username, KEYTURN_ADMIN_PASSWORD: admin.password },
        ...settings,
      });
    await work({ postgres, serve, keyturn });
  } finally {
    await Promise.all(children.map(end));
    await postgres.stop();
    await rm(place, { recursive: true, force: true });
  }
}

/** Resolves when it listens; `ask` sends an order and returns what the server answers. */
async function start(children, script, settings) {
  const begun = performance.now();
  const child = fork(script, [], { env: { PATH: process.env.PATH, ...settings } });
  children.push(child);
  const answer = () =>
    new Promise((resolve, reject) => {
      const ended = (code) => reject(new Error(`${script.pathname} ended with ${code}`));
      child.once('exit', ended).once('message', (message) => {
        child.off('exit', ended);
        resolve(message);
      });
    });
  const { url } = await answer();
  return { url, readyAfter: performance.now() - begun, ask: (order) => (child.send(order), answer()) };
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.disconnect();
  await exited;
}

/** A POST of JSON; what came back, as text. */
export async function post(url, path, body, token) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: answer.status, text: await answer.text() };
}

/** The same where anything but success is an error; what came back, as JSON. */
export async function demand(url, path, body, token) {
  const { status, text } = await post(url, path, body, token);
  if (status >= 300) throw new Error(`${path}: ${status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}
