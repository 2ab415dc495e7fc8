import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { readEntry, type ChainRow, type Facts, type HistoryEntry } from './history-entry.js';

/** `prev_hash` of the first row. */
export const FIRST_PREV_HASH = '0'.repeat(64);

/** What does not fit, and where: the first row, signing key or user. */
export interface Misfit {
  readonly problem: string;
  readonly seq?: number;
  readonly version?: number;
  readonly userId?: string;
}

/** The newest row: its hash stands for every row up to it. */
interface Head {
  readonly seq: number;
  readonly hash: string;
}

/**
 * What the events from the beginning come to, one row after the other; no row is kept. Every hash is computed here, and each event must
 * begin where the one before it ended.
 */
export class HistoryFold {
  /** What keys and users must be today, by the rows so far. */
  readonly keys = new Map<number, Facts>();
  readonly users = new Map<string, Facts>();
  head: Head = { seq: 0, hash: FIRST_PREV_HASH };

  /** @returns why this row does not follow from those before, which is the end of all believing, or undefined */
  follow(row: ChainRow): Misfit | undefined {
    const broken = brokenLink(row, this.head);
    if (broken) return broken;
    const entry = readEntry(row.entry);
    if (!entry) return misfit(row, 'is not an entry that Keyturn writes');
    if (!columnsFit(row, entry)) return misfit(row, 'has columns that do not say what its entry says');
    const contradiction = apply(entry, this.keys, this.users);
    if (contradiction) return { ...contradiction, ...misfit(row, contradiction.problem) };
    this.head = { seq: row.seq, hash: row.hash };
    return undefined;
  }
}

/**
 * Are keys, or users, what history says that they are?
 * @param today each as it is, in any order
 * @param name what one of them is called, by its id
 * @returns how many there are, and the lowest id of those that differ
 */
export async function compareWithToday<Id extends number | string>(
  history: ReadonlyMap<Id, Facts>,
  today: AsyncIterable<readonly [Id, Facts]> | Iterable<readonly [Id, Facts]>,
  name: (id: Id) => string,
): Promise<{ readonly seen: number; readonly misfit: { readonly id: Id; readonly problem: string } | undefined }> {
  const unseen = new Set(history.keys());
  let misfit: { readonly id: Id; readonly problem: string } | undefined;
  const compare = (id: Id, facts?: Facts): void => {
    if (misfit && misfit.id <= id) return;
    const problem = difference(name(id), history.get(id), facts);
    if (problem !== undefined) misfit = { id, problem };
  };
  let seen = 0;
  for await (const [id, facts] of today) {
    seen += 1;
    unseen.delete(id);
    compare(id, facts);
  }
  for (const id of unseen) compare(id);
  return { seen, misfit };
}

const misfit = ({ seq }: ChainRow, problem: string): Misfit => ({ seq, problem: `row ${seq} ${problem}` });

function brokenLink(row: ChainRow, before: Head): Misfit | undefined {
  const place = before.seq + 1;
  if (row.seq > place) return { seq: place, problem: `row ${place} is missing` };
  if (row.seq !== place) return misfit(row, 'is one too many');
  if (row.prevHash !== before.hash)
    return misfit(row, 'does not follow from the row before: one of the two was changed');
  const hash = createHash('sha256').update(row.prevHash).update(row.entry).digest('hex');
  return row.hash === hash ? undefined : misfit(row, 'was changed: its hash is not that of its entry');
}

const columnsFit = ({ columns }: ChainRow, { at, event, version, subject, actor }: HistoryEntry): boolean =>
  isDeepStrictEqual(columns, { at, event, version, subject, actor });

/** @returns what contradicts the events before, or undefined */
function apply(entry: HistoryEntry, keys: Map<number, Facts>, users: Map<string, Facts>): Misfit | undefined {
  const { event, version, subject } = entry;
  // A whole ring was brought back from a backup, users were not: theirs begins anew.
  if (event === 'restored') users.clear();
  // A private half sealed anew is not among the facts of its key, nor are sessions among those of their user.
  else if (version !== null && event !== 'resealed') {
    const problem = change(keys, version, `signing key ${version}`, entry);
    return problem === undefined ? undefined : { problem, version };
  } else if (subject !== null && event !== 'user_sessions_ended') {
    const problem = change(users, subject, `user ${subject}`, entry);
    return problem === undefined ? undefined : { problem, userId: subject };
  }
  return undefined;
}

function change<Id>(all: Map<Id, Facts>, id: Id, name: string, entry: HistoryEntry): string | undefined {
  const before = all.get(id) ?? {};
  const was = entry.old ?? {};
  const becomes = entry.new ?? {};
  if (isHollow(entry)) return `says ${entry.event} of ${name}, but changes nothing of it`;
  for (const member of Object.keys({ ...was, ...becomes }).toSorted()) {
    if (!isDeepStrictEqual(was[member] ?? null, before[member] ?? null)) {
      return `says that ${member} of ${name} was ${said(was[member])}, but the rows before it say ${said(before[member])}`;
    }
  }
  const gone = Object.fromEntries(Object.keys(was).map((member) => [member, null]));
  const after = withoutNulls({ ...before, ...gone, ...becomes });
  if (Object.keys(after).length > 0) all.set(id, after);
  else all.delete(id);
  return undefined;
}

/** What a user is called and logs in with is not in history: only that it was changed. */
const CHANGES_UNSEEN: ReadonlySet<string> = new Set(['user_renamed', 'user_password_changed']);

/** Does it change nothing, or not what it is named for? No trigger of ours writes such an event. */
const isHollow = ({ event, old, new: becomes }: HistoryEntry): boolean =>
  (['revoked', 'superseded'].includes(event) && (becomes?.['revoked_at'] ?? null) === null) ||
  (!CHANGES_UNSEEN.has(event) && isDeepStrictEqual(withoutNulls(old ?? {}), withoutNulls(becomes ?? {})));

function difference(name: string, history: Facts | undefined, today: Facts | undefined): string | undefined {
  if (!today) return `${name} is gone, but history does not say so`;
  if (!history) return `${name} is there, but history does not know it`;
  const is = withoutNulls(today);
  const member = Object.keys({ ...history, ...is })
    .toSorted()
    .find((each) => !isDeepStrictEqual(history[each], is[each]));
  if (member === undefined) return undefined;
  return `${name}: ${member} is ${said(is[member])}, but history says ${said(history[member])}`;
}

const said = (value: unknown): string => JSON.stringify(value ?? null);

/** As `jsonb_strip_nulls` does, which history is written with. */
function withoutNulls(facts: object): Facts {
  const kept = Object.entries(facts).filter(([, value]) => value !== null);
  return Object.fromEntries(
    kept.map(([name, value]: [string, unknown]) => [name, isFacts(value) ? withoutNulls(value) : value]),
  );
}

const isFacts = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
