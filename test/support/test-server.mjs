import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { joinEmbeddedPostgres, openEmbeddedPostgres } from '../../dist/src/database/embedded/embedded-postgres.js';

const prefix = 'keyturn-test-';

/** Nothing here has to outlive the run. */
const settings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  autovacuum: 'off',
  jit: 'off',
  max_connections: '200',
};

/**
 * A server for this run alone, with a database that has Keyturn's roles and nothing else in it.
 *
 * @returns {Promise<{ urls: Record<'superuser' | 'migrator' | 'app' | 'auditor', string>, stop: () => Promise<void> }>}
 */
export async function startTestServer() {
  const given = process.env['KEYTURN_TEST_SERVER'];
  return given ? await useServer(given) : await startEmbedded();
}

async function startEmbedded() {
  await removeLeftovers();
  const world = await mkdtemp(join(await realpath(tmpdir()), `${prefix}${process.pid}-`));
  // Reachable for the account that root hands the server to.
  await chmod(world, 0o755);
  const remove = () => rm(world, { recursive: true, force: true });
  try {
    const postgres = await openEmbeddedPostgres({ dataDir: join(world, 'data'), settings });
    const stop = async () => {
      await postgres.stop();
      await remove();
    };
    return { urls: postgres.urls, stop };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A run that was killed could not stop its server. */
async function removeLeftovers() {
  const parent = await realpath(tmpdir());
  const worlds = (await readdir(parent)).filter((name) => name.startsWith(prefix));
  for (const name of worlds) {
    if (isAlive(Number(name.slice(prefix.length).split('-')[0]))) continue;
    const dataDir = join(parent, name, 'data');
    // To open it is to take it over, and whoever took it over can stop it.
    if (await joinEmbeddedPostgres(dataDir)) await (await openEmbeddedPostgres({ dataDir, settings })).stop();
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** A server of somebody else's, such as an older PostgreSQL: it gets Keyturn's roles, with new passwords, and keeps them. */
async function useServer(superuserUrl) {
  const database = `keyturn_template_${randomBytes(4).toString('hex')}`;
  const roles = { migrator: 'keyturn_migrator', app: 'keyturn_app', auditor: 'keyturn_auditor' };
  const urls = { superuser: withPart(superuserUrl, { database }) };
  await onServer(superuserUrl, [`CREATE DATABASE ${database}`]);
  const passwords = [];
  for (const [role, username] of Object.entries(roles)) {
    const password = randomBytes(16).toString('hex');
    urls[role] = withPart(superuserUrl, { database, username, password });
    passwords.push(`ALTER ROLE ${username} PASSWORD '${password}'`);
  }
  const rolesSql = await readFile(new URL('../../src/database/roles.sql', import.meta.url), 'utf8');
  await onServer(urls.superuser, [rolesSql, ...passwords]);
  const stop = () => onServer(superuserUrl, [`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`]);
  return { urls, stop };
}

function withPart(url, { database, username, password }) {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  if (username) changed.username = username;
  if (password) changed.password = password;
  return changed.href;
}

/** @param {readonly string[]} statements */
export async function onServer(url, statements) {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
