import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { compareWithToday, FIRST_PREV_HASH, HistoryFold, type Misfit } from './fold-history.js';
import type { ChainRow, Facts } from './history-entry.js';

const anna = '5b0c8f7e-7d35-4f6b-9a52-0c1d2e3f4a5b';

interface Event {
  readonly event: string;
  readonly version?: number;
  readonly subject?: string;
  readonly old?: object;
  readonly new?: object;
}

/** A chain of these events as the database would write it. */
function chain(...events: readonly Event[]): ChainRow[] {
  const rows: ChainRow[] = [];
  for (const event of events) rows.push(link(rows.at(-1), said(event)));
  return rows;
}

const said = ({ event, version, subject, old, new: becomes }: Event): string =>
  JSON.stringify({
    at: '2026-10-01T12:00:00.000Z',
    event,
    version: version ?? null,
    kid: version === undefined ? null : `${version}-AAAAAAAA`,
    subject: subject ?? null,
    actor: null,
    reason: null,
    request_id: null,
    session_user: 'keyturn_app',
    client_addr: null,
    application_name: 'test',
    old: old ?? null,
    new: becomes ?? null,
  });

function link(before: ChainRow | undefined, entry: string): ChainRow {
  const prevHash = before?.hash ?? FIRST_PREV_HASH;
  const { at, event, version, subject, actor } = JSON.parse(entry);
  return {
    seq: (before?.seq ?? 0) + 1,
    prevHash,
    entry,
    hash: createHash('sha256').update(prevHash).update(entry).digest('hex'),
    columns: { at, event, version, subject, actor },
  };
}

function folded(rows: readonly ChainRow[]): HistoryFold {
  const fold = new HistoryFold();
  for (const row of rows) {
    const misfit = fold.follow(row);
    if (misfit) throw new Error(misfit.problem);
  }
  return fold;
}

/** The first row that does not follow from those before. */
function firstMisfit(rows: readonly ChainRow[]): Misfit | undefined {
  const fold = new HistoryFold();
  return rows.map((row) => fold.follow(row)).find((misfit) => misfit !== undefined);
}

const created: Event = { event: 'user_created', subject: anna, new: { roles: [], ver: 1, disabled_at: null } };
const forged: Event = { event: 'user_created', subject: anna, new: { roles: ['admin'], ver: 1 } };
const promoted: Event = {
  event: 'user_roles_changed',
  subject: anna,
  old: { roles: [], ver: 1 },
  new: { roles: ['admin'], ver: 2 },
};
const published: Event = { event: 'published', version: 1, new: { version: 1, lead: '01:00:00' } };

describe('HistoryFold', () => {
  it('ends, for no rows, where the first one begins', () => {
    const { head, keys, users } = folded([]);
    expect([head, keys.size, users.size]).toEqual([{ seq: 0, hash: FIRST_PREV_HASH }, 0, 0]);
  });

  it('makes of the events what keys and users are', () => {
    const { keys, users } = folded(chain(created, published, promoted));
    expect([[...keys], [...users]]).toEqual([
      [[1, { version: 1, lead: '01:00:00' }]],
      [[anna, { roles: ['admin'], ver: 2 }]],
    ]);
  });

  it('ends at the last row', () => {
    const rows = chain(created, promoted);
    expect(folded(rows).head).toEqual({ seq: 2, hash: rows[1]?.hash });
  });

  it('knows nothing any more of a user who was erased', () => {
    const erased = { event: 'user_erased', subject: anna, old: { roles: [], ver: 1, disabled_at: null } };
    expect(folded(chain(created, erased)).users).toEqual(new Map());
  });

  it('does not count a private half sealed anew among the facts of its key', () => {
    const resealed = { event: 'resealed', version: 1, old: { kek_id: 'a' }, new: { kek_id: 'b' } };
    expect(folded(chain(published, resealed)).keys.get(1)).toEqual({ version: 1, lead: '01:00:00' });
  });

  it('takes no ended session for a fact of its user', () => {
    const ended = { event: 'user_sessions_ended', subject: anna, old: {}, new: { sessions: 2 } };
    expect(folded(chain(created, ended, ended)).users).toEqual(folded(chain(created)).users);
  });

  it('begins anew with users, not with keys, where the ring was restored', () => {
    const { keys, users } = folded(chain(created, published, { event: 'restored' }));
    expect([keys.size, users.size]).toEqual([1, 0]);
  });

  it('takes a new name and a new password, which are no facts of history', () => {
    expect(folded(chain({ event: 'user_renamed', subject: anna, old: {}, new: {} })).users).toEqual(new Map());
  });

  it.each<[string, Event]>([
    ['a revocation that revokes nothing', { event: 'revoked', version: 1 }],
    ['a revocation of something else', { event: 'revoked', version: 1, old: { lead: '01:00:00' }, new: {} }],
    ['an event that leaves all as it was', { event: 'scheduled', version: 1, old: { lead: null }, new: {} }],
  ])('refuses %s', (_, hollow) => {
    expect(firstMisfit(chain(published, hollow))).toEqual({
      problem: `row 2 says ${hollow.event} of signing key 1, but changes nothing of it`,
      seq: 2,
      version: 1,
    });
  });

  it.each<[string, number, (rows: ChainRow[]) => (ChainRow | undefined)[]]>([
    ['row 2 is missing', 2, ([one, , three]) => [one, three]],
    ['row 1 is missing', 1, ([, two, three]) => [two, three]],
    ['row 2 is one too many', 2, ([one, two, three]) => [one, two, two, three]],
    [
      'row 2 was changed: its hash is not that of its entry',
      2,
      ([one, two, three]) => [one, two && { ...two, entry: said(forged) }, three],
    ],
    [
      'row 3 does not follow from the row before: one of the two was changed',
      3,
      ([one, , three]) => [one, link(one, said(forged)), three],
    ],
    [
      'row 2 has columns that do not say what its entry says',
      2,
      ([one, two, three]) => [one, two && { ...two, columns: { ...two.columns, event: 'renewed' } }, three],
    ],
  ])('says that %s', (problem, seq, tamper) => {
    const rows = tamper(chain(published, created, promoted)).filter((row) => row !== undefined);
    expect(firstMisfit(rows)).toEqual({ problem, seq });
  });

  it.each(['', 'null', '[]', '{"at":"yesterday"}'])('refuses an entry that is %j', (entry) => {
    const [row] = chain(created);
    const garbled = row && {
      ...row,
      entry,
      hash: createHash('sha256')
        .update(FIRST_PREV_HASH + entry)
        .digest('hex'),
    };
    expect(firstMisfit(garbled ? [garbled] : [])).toEqual({
      problem: 'row 1 is not an entry that Keyturn writes',
      seq: 1,
    });
  });

  it('names the event that does not begin where the one before it ended', () => {
    expect(firstMisfit(chain(created, { ...promoted, old: { roles: ['owner'], ver: 1 } }))).toEqual({
      problem: `row 2 says that roles of user ${anna} was ["owner"], but the rows before it say []`,
      seq: 2,
      userId: anna,
    });
  });

  it('names the event that creates what was there', () => {
    expect(firstMisfit(chain(published, published))).toMatchObject({ seq: 2 });
  });
});

describe('compareWithToday', () => {
  const { keys } = folded(chain(published, created, promoted));
  const compare = async (today: ReadonlyMap<number, Facts>) =>
    await compareWithToday(keys, today, (version) => `signing key ${version}`);

  it('finds nothing where all is as history says, and counts it', async () => {
    const nulls = new Map([[1, { version: 1, lead: '01:00:00', revoked_at: null }]]);
    expect(await compare(nulls)).toEqual({ seen: 1, misfit: undefined });
  });

  it.each<[string, Map<number, Facts>, number, string]>([
    [
      'is something else',
      new Map([[1, { version: 1, lead: '00:00:00' }]]),
      1,
      'signing key 1: lead is "00:00:00", but history says "01:00:00"',
    ],
    ['is gone', new Map(), 1, 'signing key 1 is gone, but history does not say so'],
    ['history does not know', new Map([...keys, [2, {}]]), 2, 'signing key 2 is there, but history does not know it'],
  ])('names the key that %s', async (_, today, id, problem) => {
    expect((await compare(today)).misfit).toEqual({ id, problem });
  });

  it('names the lowest first, in whatever order they come', async () => {
    const strangers = [10, 9].map((version): [number, Facts] => [version, { version }]);
    expect((await compare(new Map([...strangers, ...keys]))).misfit).toMatchObject({ id: 9 });
    expect((await compare(new Map(strangers))).misfit).toMatchObject({ id: 1 });
  });
});
