import type { Checkpoint } from './checkpoint.js';
import { compareWithToday, HistoryFold, type Misfit } from './fold-history.js';
import type { ChainRow, Facts } from './history-entry.js';
import { SignedRows, type StoredCheckpoint } from './signed-rows.js';

/** All that a verification looks at, as it is at one moment. Only keys are few: the rest is read as it is asked for, never held. */
export interface StoredHistory {
  readonly keys: ReadonlyMap<number, Facts>;
  /** By seq. */
  readonly rows: AsyncIterable<ChainRow>;
  /** By seq, some at a time. */
  readonly checkpoints: AsyncIterable<readonly StoredCheckpoint[]>;
  readonly users: AsyncIterable<readonly [id: string, Facts]>;
}

/** The answer of a verification. Without a `misfit` the history is whole. */
export interface Verdict {
  readonly checked: {
    readonly events: number;
    readonly keys: number;
    readonly users: number;
    readonly checkpoints: number;
  };
  /** The newest row: what a checkpoint is signed over. */
  readonly head: { readonly seq: number; readonly hash: string } | undefined;
  /** How many of the kept copies were compared. */
  readonly kept: number;
  readonly misfit: Misfit | undefined;
}

/**
 * Is the history whole? With arithmetic of its own, apart from that of `audit.verify_history()`.
 * @param kept checkpoints that somebody kept where nobody who can write to the database could reach them
 */
export async function verifyHistory(stored: StoredHistory, kept: readonly Checkpoint[] = []): Promise<Verdict> {
  const { keys } = stored;
  const byKid = new Map([...keys.values()].map((facts) => [facts['kid'], facts]));
  const fold = new HistoryFold();
  const inOrder = kept.map((content) => ({ ...content, content })).toSorted((a, b) => a.seq - b.seq);
  const copies = new SignedRows('the kept checkpoint', [inOrder], byKid);
  const points = new SignedRows('the stored checkpoint', stored.checkpoints, byKid);
  let events = 0;
  let head: Verdict['head'];
  let broken: Misfit | undefined;
  for await (const row of stored.rows) {
    events += 1;
    head = { seq: row.seq, hash: row.hash };
    broken ??= fold.follow(row);
    await copies.pass(row);
    await points.pass(row);
  }
  await copies.end();
  await points.end();
  const today = await compareWithToday(fold.keys, keys, (version) => `signing key ${version}`);
  const people = await compareWithToday(fold.users, stored.users, (id) => `user ${id}`);
  return {
    checked: { events, keys: today.seen, users: people.seen, checkpoints: points.seen },
    head,
    kept: kept.length,
    misfit:
      broken ??
      copies.misfit ??
      points.misfit ??
      (today.misfit && { problem: today.misfit.problem, version: today.misfit.id }) ??
      (people.misfit && { problem: people.misfit.problem, userId: people.misfit.id }),
  };
}
