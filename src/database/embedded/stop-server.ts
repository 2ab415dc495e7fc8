import type { Binaries } from './binaries.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';
import { isErrorCode } from './files.js';
import { poll } from './poll.js';
import { isPostmasterOf } from './process-identity.js';
import { run } from './run.js';

/** Each way with what it may take: PostgreSQL's fast shutdown, its immediate one, and the end. */
const ways = [
  { signal: 'INT', patienceMs: 10_000 },
  { signal: 'QUIT', patienceMs: 5_000 },
  { signal: 'KILL', patienceMs: 5_000 },
] as const;

/**
 * First politely (sessions end, what is committed is safe), then with less and less patience. By pid, because the server
 * may be one that a process now dead has started; and only while the pid is that server's.
 */
export async function stopServer(clusterDir: string, pid: number, binaries: Binaries): Promise<void> {
  const hasEnded = async () => ((await isPostmasterOf(clusterDir, pid)) ? undefined : true);
  for (const { signal, patienceMs } of ways) {
    if (await hasEnded()) return;
    await send(signal, pid, binaries);
    if (await poll(hasEnded, { timeoutMs: patienceMs })) return;
  }
  throw new EmbeddedPostgresError(`The embedded PostgreSQL (pid ${pid}) does not end. Type: kill -9 ${pid}`);
}

async function send(signal: (typeof ways)[number]['signal'], pid: number, binaries: Binaries): Promise<void> {
  // Windows knows no signals; Postgres brings its own there.
  if (process.platform === 'win32' && signal !== 'KILL') {
    await run(binaries.pg_ctl, ['kill', signal, String(pid)], undefined);
    return;
  }
  try {
    process.kill(pid, `SIG${signal}`);
  } catch (error) {
    if (!isErrorCode(error, 'ESRCH')) throw error;
  }
}
