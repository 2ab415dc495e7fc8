import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { history, foldedUsers, usersAsTheyAre } from '../support/history.js';
import { members, PASSWORD, tokenPair, type AskOptions } from '../support/test-app.js';
import { ownFinding } from '../audit/story.js';
import {
  createWorld,
  idOfSession,
  OTHER_PASSWORD,
  pageSchema,
  refusalOf,
  userSchema,
  withCodeSchema,
  type World,
} from './world.js';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => await world.close());

const routes = (id: string): readonly (readonly [method: string, path: string, json?: unknown])[] => [
  ['GET', '/users'],
  ['POST', '/users', { username: 'never' }],
  ['GET', `/users/${id}`],
  ['PATCH', `/users/${id}`, { roles: ['admin'] }],
  ['POST', `/users/${id}/disable`, {}],
  ['POST', `/users/${id}/enable`, {}],
  ['POST', `/users/${id}/reset`, {}],
  ['GET', `/users/${id}/sessions`],
  ['DELETE', `/users/${id}/sessions`],
  ['DELETE', `/users/${id}/sessions/${id}`],
];
const asOptions = (method: string, json: unknown): AskOptions => ({ method, ...(json !== undefined && { json }) });

describe('administration of users', () => {
  it('is open to nobody without a token', async () => {
    for (const [method, path, json] of routes(world.root.id)) {
      expect([path, ...refusalOf(await world.server.ask(path, asOptions(method, json)))]).toEqual([
        path,
        401,
        'missing_token',
      ]);
    }
  });

  it('is open to nobody who is no administrator, not even about themselves', async () => {
    const clerk = await world.person('clerk', ['hr', 'auditor', 'Admin', 'admins']);
    for (const [method, path, json] of routes(clerk.id)) {
      expect([path, ...refusalOf(await clerk.ask(path, asOptions(method, json)))]).toEqual([
        path,
        403,
        'insufficient_scope',
      ]);
    }
    expect(userSchema.parse((await world.root.ask(`/users/${clerk.id}`)).body).roles).not.toContain('admin');
  });

  it('shows, but changes nothing, on the strength of a login a quarter of an hour old', async () => {
    const { root, server, database } = world;
    await database.setClockOffset(16 * 60_000);
    await server.hearNews();
    const { access_token: token } = tokenPair(await server.refresh(root.refreshToken));
    for (const [method, path, json] of routes(root.id)) {
      const answer = await server.ask(path, { ...asOptions(method, json), token });
      if (method === 'GET') expect([path, answer.status]).toEqual([path, 200]);
      else expect([path, ...refusalOf(answer)]).toEqual([path, 401, 'fresh_login_required']);
    }
    await database.setClockOffset(0);
    await server.hearNews();
  });

  it.each([
    ['an id that is none', 'GET', '/users/7'],
    ['an id with a query in it', 'GET', `/users/${encodeURIComponent("' OR 1=1 --")}`],
    ['an id with a NUL', 'POST', '/users/%00/disable'],
    ['a session id that is none', 'DELETE', `/users/${randomUUID()}/sessions/current`],
  ])('refuses %s', async (_what, method, path) => {
    expect(refusalOf(await world.root.ask(path, { method }))).toEqual([400, 'validation_failed']);
  });

  it('does not find who is not there', async () => {
    for (const [method, path, json] of routes(randomUUID()).slice(2)) {
      expect([path, ...refusalOf(await world.root.ask(path, asOptions(method, json)))]).toEqual([
        path,
        404,
        'not_found',
      ]);
    }
  });

  it.each<[what: string, method: string, path: string, json: unknown]>([
    ['a field we do not know', 'POST', '/users', { username: 'x1', admin: true }],
    ['a ver', 'POST', '/users', { username: 'x2', ver: 7 }],
    ['a password hash', 'POST', '/users', { username: 'x3', passwordHash: '$argon2id$' }],
    ['no username', 'POST', '/users', {}],
    ['a username with spaces', 'POST', '/users', { username: 'a b' }],
    ...[
      'an\u200Bna',
      'anna\u202E',
      '\u2060anna',
      'an\u00ADna',
      'anna\uFE0F',
      '\u3164',
      'an\u034Fna',
      'anna\uE000',
      'jose\u0301',
    ].flatMap((username): [string, string, string, unknown][] => [
      [`the username ${JSON.stringify(username)} for a new user`, 'POST', '/users', { username }],
      [`the username ${JSON.stringify(username)} for one that is there`, 'PATCH', '/users/ID', { username }],
    ]),
    ['a role with spaces', 'POST', '/users', { username: 'x4', roles: ['a b'] }],
    ['a role twice', 'POST', '/users', { username: 'x5', roles: ['hr', 'hr'] }],
    ['a role that is none', 'POST', '/users', { username: 'x6', roles: [{ $ne: '' }] }],
    ['65 roles', 'POST', '/users', { username: 'x7', roles: Array.from({ length: 65 }, (_, role) => `r${role}`) }],
    ['roles for a role', 'POST', '/users', { username: 'x8', roles: 'admin' }],
    ['a reason of 501', 'POST', '/users', { username: 'x9', reason: 'a'.repeat(501) }],
    ['no change', 'PATCH', '/users/ID', {}],
    ['no change but a reason', 'PATCH', '/users/ID', { reason: 'because' }],
    ['another id', 'PATCH', '/users/ID', { roles: [], id: randomUUID() }],
    ['a password', 'PATCH', '/users/ID', { password: OTHER_PASSWORD }],
    ['standing', 'PATCH', '/users/ID', { username: 'y', disabledAt: null }],
    ['an array', 'POST', '/users/ID/disable', []],
    ['roles with it', 'POST', '/users/ID/enable', { roles: ['admin'] }],
    ['a password with it', 'POST', '/users/ID/reset', { password: OTHER_PASSWORD }],
  ])('refuses %s', async (_what, method, path, json) => {
    const answer = await world.root.ask(path.replace('ID', world.root.id), { method, json });
    expect(refusalOf(answer)).toEqual([400, 'validation_failed']);
  });

  it('lets one log in whose username is from before what cannot be seen was refused', async () => {
    await world.server.createUser({ username: 'old\u200Bname' });

    expect((await world.server.login('old\u200Bname')).token_type).toBe('Bearer');
    expect((await world.root.ask('/users', { json: { username: 'josé' } })).status).toBe(201);
  });

  it('makes a user who can log in at once', async () => {
    const answer = await world.root.ask('/users', {
      json: { username: 'dora', roles: ['hr'], password: OTHER_PASSWORD },
    });
    const { user } = members(answer.body);
    expect([answer.status, members(answer.body), user]).toEqual([
      201,
      { user },
      {
        id: expect.any(String),
        username: 'dora',
        roles: ['hr'],
        standing: 'active',
        createdAt: expect.any(String),
        disabledAt: null,
        resetAt: null,
        passwordChangedAt: expect.any(String),
      },
    ]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    await world.server.login('dora', OTHER_PASSWORD);
  });

  it('holds a password that an administrator chose to the same policy', async () => {
    const answer = await world.root.ask('/users', { json: { username: 'eve', password: 'password' } });
    expect(refusalOf(answer)).toEqual([400, 'password_rejected']);
  });

  it('makes nobody whose name is taken, in whatever case', async () => {
    expect(refusalOf(await world.root.ask('/users', { json: { username: 'ROOT@example.com' } }))).toEqual([
      409,
      'username_taken',
    ]);
  });

  it('renames a user: known by the new name everywhere, and by the old one nowhere', async () => {
    const fred = await world.person('fred');
    const renamed = await world.root.ask(`/users/${fred.id}`, { method: 'PATCH', json: { username: 'Frederic' } });
    expect([renamed.status, userSchema.parse(renamed.body).username]).toEqual([200, 'Frederic']);
    expect(members((await fred.ask('/auth/me')).body)['username']).toBe('Frederic');
    expect((await world.server.ask('/auth/login', { json: { username: 'fred', password: 'x' } })).status).toBe(401);
    await world.server.login('frederic');
  });

  it('gives nobody the name of another', async () => {
    const gina = await world.person('gina');
    const answer = await world.root.ask(`/users/${gina.id}`, {
      method: 'PATCH',
      json: { username: 'root@EXAMPLE.com' },
    });
    expect(refusalOf(answer)).toEqual([409, 'username_taken']);
  });

  it('lets nobody change their own roles, not even an administrator, however the id is written', async () => {
    const { root } = world;
    await world.person('deputy', ['admin']);
    for (const [id, roles] of [
      [root.id, ['admin', 'auditor']],
      [root.id.toUpperCase(), ['admin', 'auditor']],
      [root.id, []],
    ] as const) {
      const answer = await root.ask(`/users/${id}`, { method: 'PATCH', json: { roles, username: 'root2' } });
      expect(refusalOf(answer)).toEqual([403, 'own_account']);
    }
    expect(userSchema.parse((await root.ask(`/users/${root.id}`)).body)).toMatchObject({
      username: 'root@example.com',
      roles: ['admin'],
    });
  });

  it('lets roles bite at once: the old token is refused, a refresh brings the new ones', async () => {
    const hugo = await world.person('hugo', ['hr']);
    expect((await hugo.ask('/auth/me')).status).toBe(200);
    const answer = await world.root.ask(`/users/${hugo.id}`, { method: 'PATCH', json: { roles: ['admin', 'hr'] } });
    expect(answer.status).toBe(200);
    expect(refusalOf(await hugo.ask('/auth/me'))).toEqual([401, 'invalid_token']);
    const { access_token: token } = tokenPair(await world.server.refresh(hugo.refreshToken));
    expect(members((await world.server.ask('/auth/me', { token })).body)['roles']).toEqual(['admin', 'hr']);
    expect((await world.server.ask('/users', { token })).status).toBe(200);
  });

  it('lets a disabling bite at once: token, refresh and login are refused, and stay so for old sessions', async () => {
    const ivan = await world.person('ivan');
    expect((await ivan.ask('/auth/me')).status).toBe(200);
    const disabled = await world.root.ask(`/users/${ivan.id}/disable`, { json: { reason: 'left' } });
    expect([disabled.status, userSchema.parse(disabled.body).standing]).toEqual([200, 'disabled']);
    const refused = async () => [
      refusalOf(await ivan.ask('/auth/me')),
      refusalOf(await world.server.refresh(ivan.refreshToken)),
    ];
    const both = [
      [401, 'invalid_token'],
      [400, 'invalid_grant'],
    ];
    expect(await refused()).toEqual(both);
    expect((await world.server.ask('/auth/login', { json: { username: 'ivan', password: 'x' } })).status).toBe(401);

    const enabled = await world.root.ask(`/users/${ivan.id}/enable`, { method: 'POST' });
    expect([enabled.status, userSchema.parse(enabled.body).standing]).toEqual([200, 'active']);
    expect(await refused()).toEqual(both);
    await world.server.login('ivan');
  });

  it('does to the disabled and the enabled what was done already, and says so once', async () => {
    const jane = await world.person('jane');
    for (const act of ['enable', 'disable', 'disable', 'enable', 'enable'])
      expect((await world.root.ask(`/users/${jane.id}/${act}`, { method: 'POST' })).status).toBe(200);
    const rows = await history(await world.database.connect('app'));
    expect(rows.filter(({ said }) => said.subject === jane.id).map(({ said }) => said.event)).toEqual([
      'user_created',
      'user_disabled',
      'user_enabled',
    ]);
  });

  it('writes every act into history, with who, why and by which request, and no name', async () => {
    const { root } = world;
    const invited = withCodeSchema.parse(
      (await root.ask('/users', { json: { username: 'kate', reason: 'new here' } })).body,
    );
    const { id } = invited.user;
    await world.server.ask('/auth/redeem', { json: { code: invited.code, password: OTHER_PASSWORD } });
    await root.ask(`/users/${id}`, { method: 'PATCH', json: { roles: ['hr'], reason: 'joins HR' } });
    await root.ask(`/users/${id}`, { method: 'PATCH', json: { username: 'katherine', reason: 'asked for it' } });
    await root.ask(`/users/${id}/disable`, { json: { reason: 'on leave' } });
    await root.ask(`/users/${id}/enable`, { json: { reason: 'back' } });
    await root.ask(`/users/${id}/reset`, { json: { reason: 'forgot' } });

    const app = await world.database.connect('app');
    const rows = (await history(app)).filter(({ said }) => said.subject === id);
    expect(rows.map(({ said }) => [said.event, said.actor, said.reason])).toEqual([
      ['user_created', root.id, 'new here'],
      ['user_password_changed', id, null],
      ['user_roles_changed', root.id, 'joins HR'],
      ['user_renamed', root.id, 'asked for it'],
      ['user_disabled', root.id, 'on leave'],
      ['user_enabled', root.id, 'back'],
      ['user_reset', root.id, 'forgot'],
    ]);
    for (const { said } of rows) expect(said.request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(rows.map(({ entry }) => entry).join()).not.toMatch(/kat(e|herine)|argon2|example\.com/);
    expect(foldedUsers(await history(app))).toEqual(await usersAsTheyAre(app));
  });

  it('writes into history that sessions were ended: one event an act, of one session, of all, or of none to end', async () => {
    const { root } = world;
    const leo = await world.person('leo');
    const phone = await world.again(leo);
    await world.again(leo);
    const path = `/users/${leo.id}/sessions`;
    const one = `${path}/${idOfSession(phone.token)}?reason=lost%20phone`;
    for (const each of [one, `${path}?reason=laptop%20too`, path]) {
      expect((await root.ask(each, { method: 'DELETE' })).status).toBe(204);
    }

    const app = await world.database.connect('app');
    const rows = (await history(app)).filter(({ said }) => said.subject === leo.id).slice(1);
    expect(rows.map(({ said }) => [said.event, said.actor, said.reason, said.old, said.new])).toEqual([
      ['user_sessions_ended', root.id, 'lost phone', {}, { sessions: 1 }],
      ['user_sessions_ended', root.id, 'laptop too', {}, { sessions: 2 }],
    ]);
    for (const { said } of rows) expect(said.request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(rows.map(({ entry }) => entry).join()).not.toMatch(/leo/);
    expect(await ownFinding(await world.database.connect('auditor'))).toBeUndefined();
  });

  it('writes a reset once, with the sessions that it ends, and no logout or new password of one’s own but the latter', async () => {
    const { root } = world;
    const mara = await world.person('mara');
    const [phone, tablet] = [await world.again(mara), await world.again(mara)];
    await phone.ask('/auth/logout', { method: 'POST' });
    await tablet.ask(`/auth/sessions/${idOfSession(mara.token)}`, { method: 'DELETE' });
    await tablet.ask('/auth/logout-all', { method: 'POST' });
    const again = await world.again(mara);
    await again.ask('/auth/password', { json: { currentPassword: PASSWORD, newPassword: OTHER_PASSWORD } });
    await root.ask(`/users/${mara.id}/reset`, { method: 'POST' });
    const rows = await history(await world.database.connect('app'));
    expect(rows.filter(({ said }) => said.subject === mara.id).map(({ said }) => said.event)).toEqual([
      'user_created',
      'user_password_changed',
      'user_reset',
    ]);
  });

  it('takes no reason of 501 for the end of a session', async () => {
    const path = `/users/${world.root.id}/sessions?reason=${'a'.repeat(501)}`;
    expect(refusalOf(await world.root.ask(path, { method: 'DELETE' }))).toEqual([400, 'validation_failed']);
  });
});

const list = async (query: string) => pageSchema.parse((await world.root.ask(`/users${query}`)).body);

describe('the list of users', () => {
  const walk = async (query: string, between?: () => Promise<unknown>): Promise<string[]> => {
    const names: string[] = [];
    let page = await list(`?${query}`);
    names.push(...page.users.map(({ username }) => username));
    while (page.next !== null) {
      await between?.();
      page = await list(`?${query}&after=${page.next}`);
      names.push(...page.users.map(({ username }) => username));
    }
    return names;
  };

  beforeAll(async () => {
    const app = await world.database.connect('app');
    // In one statement, so that many came at the same instant.
    await app.query(`INSERT INTO keyturn.users (username, roles)
      SELECT 'page-' || n || '_x%', CASE WHEN n % 2 = 0 THEN '{even}'::text[] ELSE '{}' END FROM generate_series(1, 21) n`);
  });
  const pages = Array.from({ length: 21 }, (_, n) => `page-${n + 1}_x%`);

  it('comes in pages that leave nobody out and show nobody twice', async () => {
    for (const limit of [1, 2, 7, 20, 21, 200]) {
      const names = await walk(`q=page-&limit=${limit}`);
      expect(names.toSorted()).toEqual(pages.toSorted());
    }
  });

  it('stays so while users come, change their names and leave', async () => {
    const app = await world.database.connect('app');
    let came = 0;
    const names = await walk('q=page-&limit=5', async () => {
      came += 1;
      await app.query(`INSERT INTO keyturn.users (username) VALUES ($1)`, [`aaa-page-${came}`]);
      await app.query(`UPDATE keyturn.users SET username = 'zzz-' || username WHERE username = 'page-1_x%'`);
    });
    expect(
      names
        .filter((name) => !name.startsWith('aaa-'))
        .map((name) => name.replace('zzz-', ''))
        .toSorted(),
    ).toEqual(pages.toSorted());
    expect(new Set(names).size).toBe(names.length);
    await app.query(`UPDATE keyturn.users SET username = 'page-1_x%' WHERE username LIKE 'zzz-%'`);
  });

  it('is searched by part of the username, ignoring case, and nothing in it is a wildcard', async () => {
    expect((await walk('q=ROOT@')).toSorted()).toEqual(['root@example.com']);
    expect(await walk(`q=${encodeURIComponent('page-2%')}`)).toEqual([]);
    expect(await walk(`q=${encodeURIComponent('-2_x%')}`)).toEqual(['page-2_x%']);
    expect(await walk(`q=${encodeURIComponent("'; DROP TABLE keyturn.users; --")}`)).toEqual([]);
  });

  it('is filtered by role and by standing', async () => {
    expect((await walk('q=page-&role=even')).length).toBe(10);
    expect(await walk('role=nobody')).toEqual([]);
    expect(await walk('q=page-3_&standing=invited')).toEqual(['page-3_x%']);
    expect(await walk('q=page-3_&standing=active')).toEqual([]);
    expect(await walk('q=root@&standing=active&role=admin')).toEqual(['root@example.com']);
  });

  it('names fifty unless told', async () => {
    const app = await world.database.connect('app');
    await app.query(`INSERT INTO keyturn.users (username) SELECT 'many-' || n FROM generate_series(1, 51) n`);
    expect((await list('?q=many-')).users.length).toBe(50);
  });

  it.each([
    'limit=0',
    'limit=201',
    'limit=-1',
    'limit=1e2',
    'limit=5&limit=6',
    'after=nothing',
    `after=${Buffer.from(`2026-01-01T00:00:00.000Z ' OR 1=1`).toString('base64url')}`,
    'standing=asleep',
    'role=a%20b',
    'q=',
    'q=%00',
    'sort=password_hash',
  ])('refuses ?%s', async (query) => {
    expect(refusalOf(await world.root.ask(`/users?${query}`))).toEqual([400, 'validation_failed']);
  });
});
