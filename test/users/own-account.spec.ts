import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { history } from '../support/history.js';
import { PASSWORD, startTestApp, type Answer, type TestApp } from '../support/test-app.js';
import { createTestDatabase } from '../support/test-database.js';
import {
  createWorld,
  idOfSession,
  OTHER_PASSWORD,
  refusalOf,
  sessionsSchema,
  withCodeSchema,
  type Person,
  type World,
} from './world.js';

let world: World;
/** Another server over the same database. It starts first: a process has one logger, the last server's. */
let elsewhere: TestApp;
beforeAll(async () => {
  const database = await createTestDatabase();
  const settings = { ISSUER: 'http://keyturn.test' };
  elsewhere = await startTestApp({ database, settings });
  world = await createWorld({ database, settings: { ...settings, KEK: elsewhere.kek } });
  await elsewhere.hearNews();
});
afterAll(async () => {
  await elsewhere.close();
  await world.close();
});

const sessionsOf = async (person: Person) => sessionsSchema.parse((await person.ask('/auth/sessions')).body).sessions;
const isLive = async ({ token }: Person, server = world.server): Promise<boolean> =>
  (await server.ask('/auth/me', { token })).status === 200;
const changePassword = (person: Person, currentPassword: string, newPassword: string): Promise<Answer> =>
  person.ask('/auth/password', { json: { currentPassword, newPassword } });
/** Ended here at once; there with the news. */
async function expectEnded(person: Person): Promise<void> {
  expect(await isLive(person)).toBe(false);
  await elsewhere.hearNews();
  expect(await isLive(person, elsewhere)).toBe(false);
  expect(refusalOf(await elsewhere.refresh(person.refreshToken))).toEqual([400, 'invalid_grant']);
}
async function expectLive(...people: readonly Person[]): Promise<void> {
  for (const person of people) {
    expect(await isLive(person)).toBe(true);
    expect(await isLive(person, elsewhere)).toBe(true);
  }
}

describe('the list of one’s sessions', () => {
  it('says from which device and place each is, since when, and which one asks', async () => {
    const anna = await world.person('anna');
    await world.person('somebody');
    const login = await world.server.ask('/auth/login', {
      json: { username: 'anna', password: PASSWORD },
      headers: { 'user-agent': `phone ${'x'.repeat(500)}` },
    });
    expect(login.status).toBe(200);
    const answer = await anna.ask('/auth/sessions');
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const { sessions } = sessionsSchema.parse(answer.body);
    expect(sessions.map(({ device, current }) => [device?.slice(0, 6), current])).toEqual([
      ['phone ', false],
      ['node', true],
    ]);
    expect(sessions[1]).toMatchObject({ id: idOfSession(anna.token), address: '127.0.0.1' });
    for (const { createdAt, lastUsedAt, expiresAt } of sessions) {
      expect(Date.parse(createdAt)).toBeLessThanOrEqual(Date.parse(lastUsedAt));
      expect(Date.parse(lastUsedAt)).toBeLessThan(Date.parse(expiresAt));
    }
  });

  it('leaves out what has ended or run out', async () => {
    const bert = await world.person('bert');
    const ended = await world.again(bert);
    await ended.ask('/auth/logout', { method: 'POST' });
    const idle = await world.again(bert);
    const app = await world.database.connect('app');
    await app.query('UPDATE keyturn.sessions SET idle_expires_at = keyturn.clock() WHERE id = $1', [
      idOfSession(idle.token),
    ]);
    expect((await sessionsOf(bert)).map(({ id }) => id)).toEqual([idOfSession(bert.token)]);
  });
});

describe('ending a session of one’s own', () => {
  it('ends that one, everywhere, and no other', async () => {
    const carl = await world.person('carl');
    const phone = await world.again(carl);
    await expectLive(carl, phone);
    expect((await carl.ask(`/auth/sessions/${idOfSession(phone.token)}`, { method: 'DELETE' })).status).toBe(204);
    await expectEnded(phone);
    await expectLive(carl);
  });

  it('ends the one that asks as well', async () => {
    const dora = await world.person('dora');
    expect((await dora.ask(`/auth/sessions/${idOfSession(dora.token)}`, { method: 'DELETE' })).status).toBe(204);
    await expectEnded(dora);
  });

  it('answers alike for somebody else’s, one that has ended and one that never was', async () => {
    const emil = await world.person('emil');
    const ended = await world.again(emil);
    await ended.ask('/auth/logout', { method: 'POST' });
    const answers: string[] = [];
    for (const id of [idOfSession(world.root.token), idOfSession(ended.token), randomUUID()]) {
      const { status, body } = await emil.ask(`/auth/sessions/${id}`, { method: 'DELETE' });
      answers.push(JSON.stringify([status, body]).replace(/"requestId":"[^"]+"/, ''));
    }
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain('"code":"not_found"');
    await expectLive(world.root);
  });

  it.each(['current', '%00', '1'])('refuses the id %s', async (id) => {
    expect(refusalOf(await world.root.ask(`/auth/sessions/${id}`, { method: 'DELETE' }))).toEqual([
      400,
      'validation_failed',
    ]);
  });
});

it('logging out everywhere ends every session of one’s own', async () => {
  const fred = await world.person('fred');
  const phone = await world.again(fred);
  await expectLive(fred, phone);
  expect((await fred.ask('/auth/logout-all', { method: 'POST' })).status).toBe(204);
  await expectEnded(fred);
  await expectEnded(phone);
  await expectLive(world.root);
});

describe('an administrator', () => {
  it('sees anybody’s sessions and ends one, or all', async () => {
    const gina = await world.person('gina');
    const [phone, tablet] = [await world.again(gina), await world.again(gina)];
    await expectLive(gina, phone, tablet);
    const path = `/users/${gina.id}/sessions`;
    expect(sessionsSchema.parse((await world.root.ask(path)).body).sessions).toHaveLength(3);

    const one = `${path}/${idOfSession(phone.token)}`;
    expect((await world.root.ask(one, { method: 'DELETE' })).status).toBe(204);
    await expectEnded(phone);
    await expectLive(gina, tablet);
    expect(refusalOf(await world.root.ask(one, { method: 'DELETE' }))).toEqual([404, 'not_found']);

    expect((await world.root.ask(path, { method: 'DELETE' })).status).toBe(204);
    await expectEnded(gina);
    await expectEnded(tablet);
    const app = await world.database.connect('app');
    const { rows } = await app.query('SELECT DISTINCT end_reason FROM keyturn.sessions WHERE user_id = $1', [gina.id]);
    expect(rows).toEqual([{ end_reason: 'administrator' }]);
  });

  it('ends nobody’s session under the name of another user', async () => {
    const hugo = await world.person('hugo');
    const path = `/users/${world.root.id}/sessions/${idOfSession(hugo.token)}`;
    expect(refusalOf(await world.root.ask(path, { method: 'DELETE' }))).toEqual([404, 'not_found']);
    await expectLive(hugo);
  });
});

describe('changing one’s password', () => {
  it('ends every other session and keeps this one', async () => {
    const ivan = await world.person('ivan');
    const phone = await world.again(ivan);
    await expectLive(ivan, phone);
    expect((await changePassword(ivan, PASSWORD, OTHER_PASSWORD)).status).toBe(204);
    await expectEnded(phone);
    await expectLive(ivan);
    expect((await world.server.refresh(ivan.refreshToken)).status).toBe(200);
    await world.again(ivan, OTHER_PASSWORD);
    const old = await world.server.ask('/auth/login', { json: { username: 'ivan', password: PASSWORD } });
    expect(old.status).toBe(401);
    const rows = await history(await world.database.connect('app'));
    expect(rows.at(-1)?.said).toMatchObject({ event: 'user_password_changed', subject: ivan.id, actor: ivan.id });
  });

  it('wants the current password', async () => {
    const jane = await world.person('jane');
    const phone = await world.again(jane);
    expect(refusalOf(await changePassword(jane, OTHER_PASSWORD, OTHER_PASSWORD))).toEqual([401, 'invalid_credentials']);
    await expectLive(jane, phone);
    await world.again(jane);
  });

  it('holds the new one to the policy, and says so of that field', async () => {
    const kate = await world.person('kate');
    const answer = await changePassword(kate, PASSWORD, 'nine odd eels');
    expect(refusalOf(answer)).toEqual([400, 'password_rejected']);
    expect(answer.body).toMatchObject({ errors: [{ field: 'newPassword' }] });
  });

  it.each([
    {},
    { currentPassword: PASSWORD },
    { newPassword: OTHER_PASSWORD },
    { currentPassword: PASSWORD, newPassword: { $ne: '' } },
    { currentPassword: PASSWORD, newPassword: OTHER_PASSWORD, userId: randomUUID() },
    { currentPassword: PASSWORD, newPassword: 'a'.repeat(1_025) },
  ])('refuses %j', async (json) => {
    expect(refusalOf(await world.root.ask('/auth/password', { json }))).toEqual([400, 'validation_failed']);
  });

  it('makes a code worthless that an administrator gave before', async () => {
    const { root } = world;
    const answer = await root.ask('/users', { json: { username: 'lena' } });
    const { user, code } = withCodeSchema.parse(answer.body);
    await world.server.ask('/auth/redeem', { json: { code, password: PASSWORD } });
    const lena = await world.again(user);
    const superuser = await world.database.connect('superuser');
    await superuser.query('UPDATE keyturn.one_time_codes SET redeemed_at = NULL WHERE user_id = $1', [user.id]);
    expect((await changePassword(lena, PASSWORD, OTHER_PASSWORD)).status).toBe(204);
    const late = await world.server.ask('/auth/redeem', { json: { code, password: PASSWORD } });
    expect(refusalOf(late)).toEqual([400, 'invalid_code']);
  });

  it('is won by one of several at the same moment', async () => {
    const mona = await world.person('mona');
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, number) => changePassword(mona, PASSWORD, `${OTHER_PASSWORD} ${number}`)),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 401, 401, 401]);
  });

  it('does not undo a reset that came while it was under way', async () => {
    const nora = await world.person('nora');
    const [changed, reset] = await Promise.all([
      changePassword(nora, PASSWORD, OTHER_PASSWORD),
      world.root.ask(`/users/${nora.id}/reset`, { method: 'POST' }),
    ]);
    expect([204, 401]).toContain(changed.status);
    expect(reset.status).toBe(200);
    for (const password of [PASSWORD, OTHER_PASSWORD]) {
      expect((await world.server.ask('/auth/login', { json: { username: 'nora', password } })).status).toBe(401);
    }
  });
});

it('nothing secret was logged in any of this, and nothing broke', () => {
  const log = world.server.log.join('\n');
  expect(log).toContain('password changed');
  for (const secret of [PASSWORD, OTHER_PASSWORD, 'argon2', world.root.token, 'ktr_'])
    expect(log).not.toContain(secret);
  expect(world.server.log.filter((line) => line.startsWith('error') || line.startsWith('fatal'))).toEqual([]);
});
