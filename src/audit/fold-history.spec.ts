import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { compareWithToday, FIRST_PREV_HASH, foldHistory, type FoldedHistory } from './fold-history.js';
import type { ChainRow } from './history-entry.js';

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

function folded(rows: readonly ChainRow[]): FoldedHistory {
  const outcome = foldHistory(rows);
  if ('problem' in outcome) throw new Error(outcome.problem);
  return outcome;
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

describe('foldHistory', () => {
  it('ends, for no rows, where the first one begins', () => {
    expect(folded([])).toEqual({ head: { seq: 0, hash: FIRST_PREV_HASH }, keys: new Map(), users: new Map() });
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
    expect(foldHistory(chain(published, hollow))).toEqual({
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
    expect(foldHistory(rows)).toEqual({ problem, seq });
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
    expect(foldHistory(garbled ? [garbled] : [])).toEqual({
      problem: 'row 1 is not an entry that Keyturn writes',
      seq: 1,
    });
  });

  it('names the event that does not begin where the one before it ended', () => {
    expect(foldHistory(chain(created, { ...promoted, old: { roles: ['owner'], ver: 1 } }))).toEqual({
      problem: `row 2 says that roles of user ${anna} was ["owner"], but the rows before it say []`,
      seq: 2,
      userId: anna,
    });
  });

  it('names the event that creates what was there', () => {
    expect(foldHistory(chain(published, published))).toMatchObject({ seq: 2 });
  });
});

describe('compareWithToday', () => {
  const history = folded(chain(published, created, promoted));
  const { keys, users } = history;

  it('finds nothing where all is as history says', () => {
    const nulls = new Map([[1, { version: 1, lead: '01:00:00', revoked_at: null }]]);
    expect(compareWithToday(history, { keys: nulls, users })).toBeUndefined();
  });

  it('names the key that is something else', () => {
    const today = new Map([[1, { version: 1, lead: '00:00:00' }]]);
    expect(compareWithToday(history, { keys: today, users })).toEqual({
      problem: 'signing key 1: lead is "00:00:00", but history says "01:00:00"',
      version: 1,
    });
  });

  it('names the key that is gone', () => {
    expect(compareWithToday(history, { keys: new Map(), users })).toEqual({
      problem: 'signing key 1 is gone, but history does not say so',
      version: 1,
    });
  });

  it('names the user whom history does not know', () => {
    const stranger = '00000000-0000-0000-0000-000000000001';
    expect(compareWithToday(history, { keys, users: new Map([...users, [stranger, { ver: 1 }]]) })).toEqual({
      problem: `user ${stranger} is there, but history does not know it`,
      userId: stranger,
    });
  });

  it('names the lowest version first', () => {
    const today = new Map([10, 9].map((version) => [version, { version }]));
    expect(compareWithToday(history, { keys: new Map([...keys, ...today]), users })).toMatchObject({ version: 9 });
  });
});
