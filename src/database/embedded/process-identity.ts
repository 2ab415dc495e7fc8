import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { isErrorCode } from './files.js';

/** A process for good: a pid alone is reused. `startTime` is opaque, and null where the system does not tell. */
export const processIdentity = z.object({ pid: z.int().positive(), startTime: z.string().nullable() });
export type ProcessIdentity = z.infer<typeof processIdentity>;

export async function thisProcess(): Promise<ProcessIdentity> {
  return { pid: process.pid, startTime: (await startTime(process.pid)) ?? null };
}

export async function isStillRunning(identity: ProcessIdentity): Promise<boolean> {
  if (!exists(identity.pid)) return false;
  const started = await startTime(identity.pid);
  return started === undefined ? process.platform === 'win32' : started === (identity.startTime ?? started);
}

/**
 * Is this process the postmaster of that cluster? A pid file left by a crash may name a process of somebody else, or a
 * zombie that nobody reaps (a container whose pid 1 does not). Where the system does not tell, the answer is yes: taking
 * a server for gone would be worse than failing to log in to a stranger.
 */
export async function isPostmasterOf(clusterDir: string, pid: number): Promise<boolean> {
  if (!exists(pid)) return false;
  if (process.platform === 'win32') return true;
  const commandLine = process.platform === 'linux' ? await procCommandLine(pid) : await ps('command=', pid);
  if (commandLine === '') return false;
  if (`${commandLine} `.includes(`-D ${clusterDir} `)) return true;
  // Started by hand with a relative path: a postmaster works in its data directory.
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return cwd === undefined ? /(^|\/)postgres( |$)/.test(commandLine) : cwd === clusterDir;
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return isErrorCode(error, 'EPERM');
  }
}

/** undefined: no such process (a zombie counts as none), or a system that does not tell. */
async function startTime(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // The second field is the command in brackets and may hold anything: count from the last bracket.
    // Then comes the state, and the start in ticks after boot is the 22nd field of all: proc_pid_stat(5).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  }
  return (await ps('lstart=', pid)) || undefined;
}

async function procCommandLine(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return line.split('\0').join(' ').trim();
}

async function ps(column: string, pid: number): Promise<string> {
  if (process.platform === 'win32') return '';
  const shown = promisify(execFile)('ps', ['-ww', '-o', column, '-p', String(pid)], { timeout: 5_000 });
  return (await shown.catch(() => ({ stdout: '' }))).stdout.trim();
}
