import { spawn, spawnSync } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { isRoot } from '../../src/database/embedded/account.js';
import {
  joinEmbeddedPostgres,
  openEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../src/database/embedded/embedded-postgres.js';
import { poll } from '../../src/database/embedded/poll.js';
import { findPostmaster } from '../../src/database/embedded/postmaster.js';
import { isPostmasterOf } from '../../src/database/embedded/process-identity.js';

let world: string;
let dataDir: string;
let opened: EmbeddedPostgres[] = [];
let lines: string[] = [];

async function makeWorld(): Promise<void> {
  world = await realpath(await mkdtemp(join(tmpdir(), 'keyturn-embedded-')));
  // Reachable for the account that root hands the server to; a test of its own takes that away.
  await chmod(world, 0o755);
  dataDir = join(world, 'data');
}

async function removeWorld(): Promise<void> {
  await rm(world, { recursive: true, force: true });
}

async function stopAll(): Promise<void> {
  for (const postgres of opened) await postgres.stop();
  opened = [];
  lines = [];
}

async function open(): Promise<EmbeddedPostgres> {
  const postgres = await openEmbeddedPostgres({ dataDir, log: (line) => lines.push(line), settings: { fsync: 'off' } });
  opened.push(postgres);
  return postgres;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(sql)).rows.flatMap((row) => Object.values(row));
  } finally {
    await client.end();
  }
}

async function postmasterPid({ clusterDir }: EmbeddedPostgres): Promise<number> {
  const postmaster = await findPostmaster(clusterDir);
  if (postmaster === undefined) throw new Error('no server runs');
  return postmaster.pid;
}

async function killServer(postgres: EmbeddedPostgres): Promise<void> {
  const pid = await postmasterPid(postgres);
  process.kill(pid, 'SIGKILL');
  const gone = async () => ((await isPostmasterOf(postgres.clusterDir, pid)) ? undefined : true);
  expect(await poll(gone, { timeoutMs: 5_000 })).toBe(true);
}

const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

/** As `kill -9` on its starter would leave it: running, and named in owner.json a process that is no more. */
async function orphan(owner = { pid: spawnSync(process.execPath, ['-e', '']).pid, startTime: '1' }): Promise<void> {
  await writeFile(join(dataDir, 'owner.json'), JSON.stringify(owner));
}

describe('the first start', () => {
  beforeEach(makeWorld);
  afterEach(async () => {
    await stopAll();
    await removeWorld();
  });

  it('gives a working connection for each role, on loopback alone, and passwords that only their owner may read', async () => {
    const postgres = await open();
    const { urls } = postgres;

    const whoAmI = 'SELECT current_user, current_database()';
    expect(await query(urls.superuser, whoAmI)).toEqual(['postgres', 'keyturn']);
    expect(await query(urls.migrator, whoAmI)).toEqual(['keyturn_migrator', 'keyturn']);
    expect(await query(urls.app, whoAmI)).toEqual(['keyturn_app', 'keyturn']);
    expect(await query(urls.auditor, whoAmI)).toEqual(['keyturn_auditor', 'keyturn']);
    await expect(query(urls.app.replace(/:[^:@]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow('password');
    const shown = await query(
      urls.superuser,
      `SELECT name || '=' || setting FROM pg_settings
       WHERE name IN ('listen_addresses', 'unix_socket_directories', 'data_checksums', 'TimeZone', 'server_encoding')
       ORDER BY name COLLATE "C"`,
    );
    expect(shown).toEqual([
      'TimeZone=UTC',
      'data_checksums=on',
      'listen_addresses=127.0.0.1',
      'server_encoding=UTF8',
      'unix_socket_directories=',
    ]);
    expect([postgres.joined, postgres.version]).toEqual([false, expect.stringMatching(/^18\.\d+$/)]);

    expect(await mode(join(dataDir, 'credentials.json'))).toBe('600');
    expect(await mode(dataDir)).toBe(isRoot() ? '711' : '700');
    expect(await mode(postgres.clusterDir)).toBe('700');
    const said = [...lines, await readFile(join(dataDir, 'postgres.log'), 'utf8')].join('\n');
    for (const url of Object.values(urls)) expect(said).not.toContain(new URL(url).password);
    expect(said).not.toContain('SCRAM-SHA-256$');
  });

  it('begins anew where one was killed before the cluster was whole', async () => {
    await mkdir(join(dataDir, 'postgres.new-abandoned'), { recursive: true });
    await writeFile(join(dataDir, 'start.lock'), JSON.stringify({ pid: process.pid, startTime: 'of another life' }));

    const postgres = await open();

    expect(await query(postgres.urls.app, 'SELECT current_user')).toEqual(['keyturn_app']);
    expect((await readdir(dataDir)).filter((name) => /new|lock/.test(name))).toEqual([]);
  });
});

describe('a later start', () => {
  // One cluster for them all, stopped after each: making one takes longer than all that is asked of it.
  beforeAll(async () => {
    await makeWorld();
    await open();
    await stopAll();
  });
  afterEach(stopAll);
  afterAll(removeWorld);

  it('finds the data and the passwords of the one before', async () => {
    const first = await open();
    await query(first.urls.superuser, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    expect(await joinEmbeddedPostgres(dataDir)).toBeNull();

    const second = await open();

    expect(new URL(second.urls.superuser).password).toBe(new URL(first.urls.superuser).password);
    expect(await query(second.urls.superuser, 'SELECT answer FROM kept')).toEqual([42]);
  });

  it('finishes the roles where the first was killed before they were whole', async () => {
    const first = await open();
    await query(first.urls.superuser, 'ALTER ROLE keyturn_app NOLOGIN PASSWORD NULL');
    await first.stop();

    expect(await query((await open()).urls.app, 'SELECT current_user')).toEqual(['keyturn_app']);
  });

  it('gets past the pid file of a server that was killed, even when its pid is somebody else’s by now', async () => {
    const first = await open();
    await query(first.urls.superuser, 'CREATE TABLE survivor AS SELECT 42 AS answer');
    await killServer(first);
    const { uid, gid } = await stat(first.clusterDir);
    const stranger = spawn('sleep', ['60'], { ...(isRoot() ? { uid, gid } : {}), stdio: 'ignore' });
    try {
      const pidFile = join(first.clusterDir, 'postmaster.pid');
      await writeFile(pidFile, (await readFile(pidFile, 'utf8')).replace(/^\d+/, String(stranger.pid)));
      expect(await joinEmbeddedPostgres(dataDir)).toBeNull();

      const second = await open();

      expect(second.joined).toBe(false);
      expect(await query(second.urls.superuser, 'SELECT answer FROM survivor')).toEqual([42]);
      await second.stop();
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('hands the server nothing of our environment, and nothing of root', async () => {
    process.env['KEYTURN_TEST_SECRET'] = 'in the environment';
    try {
      const postgres = await open();
      const { uid } = await lstat(postgres.clusterDir);
      expect(uid).not.toBe(0);
      if (process.platform !== 'linux') return;
      const proc = join('/proc', String(await postmasterPid(postgres)));
      expect(await readFile(join(proc, 'environ'), 'utf8')).not.toContain('KEYTURN_TEST_SECRET');
      const status = await readFile(join(proc, 'status'), 'utf8');
      expect(status).toContain(`Uid:\t${uid}\t${uid}\t${uid}\t${uid}\n`);
      if (isRoot()) expect(status).toMatch(/^Groups:\s*$/m);
    } finally {
      delete process.env['KEYTURN_TEST_SECRET'];
    }
  });

  it('says what the log says and what to type when the server cannot start', async () => {
    const start = openEmbeddedPostgres({ dataDir, settings: { max_connections: 'many' } });

    await expect(start).rejects.toThrow(/max_connections[^]*DATABASE_URL/);
  });

  it('refuses a cluster whose passwords are lost, rather than make a new one over it', async () => {
    const file = join(dataDir, 'credentials.json');
    const credentials = await readFile(file, 'utf8');
    await writeFile(file, '{}');

    await expect(open()).rejects.toThrow(/credentials\.json is missing or damaged/);

    await writeFile(file, credentials);
  });

  it('joins the server of another that starts at the same instant, and leaves it running', async () => {
    const [one, other] = await Promise.all([open(), open()]);
    const [owner, guest] = one.joined ? [other, one] : [one, other];
    const cli = await joinEmbeddedPostgres(dataDir);

    expect([owner.joined, guest.joined, cli?.joined]).toEqual([false, true, true]);
    expect([guest.urls, cli?.urls]).toEqual([owner.urls, owner.urls]);
    await guest.stop();
    await cli?.stop();
    expect(await query(owner.urls.app, 'SELECT 1 AS one')).toEqual([1]);
    const pid = await postmasterPid(owner);
    await Promise.all([owner.stop(), owner.stop()]);
    expect(await isPostmasterOf(owner.clusterDir, pid)).toBe(false);
  });

  it('takes over a server whose starter is gone, even when that pid is somebody else’s by now', async () => {
    const first = await open();
    await orphan();
    const second = await open();
    expect([second.joined, second.port]).toEqual([false, first.port]);
    await orphan({ pid: process.pid, startTime: 'of another life' });

    const third = await open();

    expect([third.joined, third.port]).toEqual([false, first.port]);
    const pid = await postmasterPid(first);
    await third.stop();
    expect(await isPostmasterOf(first.clusterDir, pid)).toBe(false);
  });

  it('waits for a server that shuts down', async () => {
    const first = await open();
    await orphan();

    const stopping = first.stop();
    const begun = async () => ((await findPostmaster(first.clusterDir))?.status === 'ready' ? undefined : true);
    expect(await poll(begun, { timeoutMs: 5_000, everyMs: 1 })).toBe(true);

    const second = await open();

    await stopping;
    expect(await query(second.urls.app, 'SELECT 1 AS one')).toEqual([1]);
  });

  it('finds a running server though the notes about it are damaged', async () => {
    const first = await open();
    await writeFile(join(dataDir, 'owner.json'), '{"pid":"x');
    await writeFile(join(dataDir, 'cluster.json'), 'null');

    const second = await open();

    expect([second.joined, second.port, second.clusterDir]).toEqual([false, first.port, first.clusterDir]);
  });
});

describe('a data directory that only root can reach', () => {
  beforeEach(makeWorld);
  afterEach(async () => {
    const elsewhere = opened.map(({ clusterDir }) => dirname(clusterDir)).filter((dir) => !dir.startsWith(world));
    await stopAll();
    for (const dir of elsewhere) await rm(dir, { recursive: true, force: true });
    // Other Keyturns of this machine may have their clusters there.
    if (isRoot()) await rmdir('/var/lib/keyturn').catch(() => {});
    await removeWorld();
  });

  it('has its cluster elsewhere, which is said, and found again without the note about it', async () => {
    if (!isRoot()) {
      process.stdout.write('not root: the server runs as ourselves and reaches what we reach, nothing to see\n');
      return;
    }
    await chmod(world, 0o700);

    const first = await open();

    expect(first.clusterDir.startsWith(world)).toBe(false);
    expect(lines.join('\n')).toContain(dirname(first.clusterDir));
    expect([await mode(dataDir), await mode(dirname(first.clusterDir))]).toEqual(['700', '711']);
    expect(await query(first.urls.app, 'SELECT current_user')).toEqual(['keyturn_app']);
    await first.stop();
    await rm(join(dataDir, 'cluster.json'));
    expect((await open()).clusterDir).toBe(first.clusterDir);
  });
});

it('joins nothing, and makes nothing, where there is no data directory', async () => {
  await makeWorld();
  try {
    expect(await joinEmbeddedPostgres(dataDir)).toBeNull();
    await expect(stat(dataDir)).rejects.toThrow('ENOENT');
  } finally {
    await removeWorld();
  }
});
