import { signatureProblem, type Checkpoint } from './checkpoint.js';
import { compareWithToday, foldHistory, type Misfit, type Today } from './fold-history.js';
import type { ChainRow, Facts } from './history-entry.js';

/** All that a verification looks at, read at one moment. */
export interface StoredHistory extends Today {
  readonly rows: readonly ChainRow[];
  /** Compact JWS, by the row they are stored for. */
  readonly checkpoints: readonly StoredCheckpoint[];
}

/** A row of `audit.checkpoints`; `content` is undefined when its text is no checkpoint. */
export interface StoredCheckpoint {
  readonly seq: number;
  readonly hash: string;
  readonly content: Checkpoint | undefined;
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
  const { rows, keys, users, checkpoints } = stored;
  const last = rows.at(-1);
  return {
    checked: { events: rows.length, keys: keys.size, users: users.size, checkpoints: checkpoints.length },
    head: last && { seq: last.seq, hash: last.hash },
    kept: kept.length,
    misfit: await firstMisfit(stored, kept),
  };
}

async function firstMisfit(stored: StoredHistory, kept: readonly Checkpoint[]): Promise<Misfit | undefined> {
  const folded = foldHistory(stored.rows);
  if ('problem' in folded) return folded;
  const byKid = new Map([...stored.keys.values()].map((facts) => [facts['kid'], facts]));
  for (const checkpoint of kept) {
    const problem = await misfitOf(checkpoint, 'the kept checkpoint', stored.rows, byKid);
    if (problem) return problem;
  }
  for (const { seq, hash, content } of stored.checkpoints) {
    if (!content || content.seq !== seq || content.hash !== hash) {
      return { seq, problem: `the stored checkpoint over row ${seq} is none` };
    }
    const problem = await misfitOf(content, 'the stored checkpoint', stored.rows, byKid);
    if (problem) return problem;
  }
  return compareWithToday(folded, stored);
}

async function misfitOf(
  checkpoint: Checkpoint,
  name: string,
  rows: readonly ChainRow[],
  byKid: ReadonlyMap<unknown, Facts>,
): Promise<Misfit | undefined> {
  const { seq, hash, kid } = checkpoint;
  // The chain was found to be without gaps: row n is the nth.
  const row = rows[seq - 1];
  if (!row) return { seq, problem: `row ${seq} is missing, but ${name} was signed over it: the end was cut off` };
  if (row.hash !== hash) {
    return { seq, problem: `row ${seq} is not what ${name} was signed over: history was rewritten there or before` };
  }
  const problem = await signatureProblem(checkpoint, byKid.get(kid));
  return problem === undefined ? undefined : { seq, problem: `${name} over row ${seq} cannot be believed: ${problem}` };
}
