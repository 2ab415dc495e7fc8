import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SessionStore } from '../../src/auth/session/session-store.js';
import { PasswordHasher } from '../../src/users/password/password-hasher.js';
import { UserStore } from '../../src/users/user-store.js';
import { UsersService } from '../../src/users/users.service.js';
import { PASSWORD, type Answer } from '../support/test-app.js';
import {
  createWorld,
  OTHER_PASSWORD,
  refusalOf,
  sessionsSchema,
  userSchema,
  withCodeSchema,
  type World,
} from './world.js';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => await world.close());

const hours = 60 * 60_000;
const invite = async (username: string, roles: readonly string[] = []) =>
  withCodeSchema.parse((await world.root.ask('/users', { json: { username, roles } })).body);
const reset = async (id: string) =>
  withCodeSchema.parse((await world.root.ask(`/users/${id}/reset`, { method: 'POST' })).body);
const redeem = (code: string, password = OTHER_PASSWORD): Promise<Answer> =>
  world.server.ask('/auth/redeem', { json: { code, password } });
const login = (username: string, password: string): Promise<Answer> =>
  world.server.ask('/auth/login', { json: { username, password } });
const standing = async (id: string): Promise<string> =>
  userSchema.parse((await world.root.ask(`/users/${id}`)).body).standing;

describe('an invitation', () => {
  it('is handed out once, with the page that takes it, and not kept', async () => {
    const answer = await world.root.ask('/users', { json: { username: 'anna', roles: ['hr'] } });
    const { user, code, redeemUrl, codeExpiresAt } = withCodeSchema.parse(answer.body);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([201, 'no-store']);
    expect(user).toMatchObject({ username: 'anna', roles: ['hr'], standing: 'invited', passwordChangedAt: null });
    expect(code).toMatch(/^[\w-]{32}$/);
    expect(redeemUrl).toBe(`${world.server.url}/redeem?code=${code}`);
    // The instant of the change and that of the row are a few milliseconds apart.
    expect(Math.round((Date.parse(codeExpiresAt) - Date.parse(user.createdAt)) / 60_000)).toBe(72 * 60);

    const app = await world.database.connect('app');
    const { rows } = await app.query('SELECT to_jsonb(c) FROM keyturn.one_time_codes c');
    expect(JSON.stringify(rows)).not.toContain(code);
    expect(world.server.log.join()).not.toContain(code);
  });

  it('sets the password once; then login works, and the code does not', async () => {
    const { user, code } = await invite('bert', ['hr']);
    expect((await login('bert', OTHER_PASSWORD)).status).toBe(401);
    expect((await redeem(code)).status).toBe(204);
    expect(await standing(user.id)).toBe('active');
    expect((await login('bert', OTHER_PASSWORD)).status).toBe(200);
    expect(refusalOf(await redeem(code, PASSWORD))).toEqual([400, 'invalid_code']);
    expect((await login('bert', PASSWORD)).status).toBe(401);
  });

  it('is redeemed by one of many who try at once', async () => {
    const { code } = await invite('carl');
    const answers = await Promise.all(Array.from({ length: 5 }, () => redeem(code)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 400, 400, 400, 400]);
  });

  it('is not spent by a password that the policy refuses', async () => {
    const { code } = await invite('dora');
    expect(refusalOf(await redeem(code, 'dora dora dora dora'))).toEqual([400, 'password_rejected']);
    expect((await redeem(code)).status).toBe(204);
  });

  it('works until its time is over', async () => {
    const { code } = await invite('emil');
    const { code: late } = await invite('emilie');
    await world.database.setClockOffset(72 * hours - 60_000);
    expect((await redeem(code)).status).toBe(204);
    await world.database.setClockOffset(72 * hours);
    expect(refusalOf(await redeem(late))).toEqual([400, 'invalid_code']);
    await world.database.setClockOffset(0);
  });

  it('is worth nothing once its user is disabled, nor when enabled again', async () => {
    const { user, code } = await invite('fred');
    await world.root.ask(`/users/${user.id}/disable`, { method: 'POST' });
    expect(refusalOf(await redeem(code))).toEqual([400, 'invalid_code']);
    await world.root.ask(`/users/${user.id}/enable`, { method: 'POST' });
    expect(refusalOf(await redeem(code))).toEqual([400, 'invalid_code']);
  });

  it('is sent again by a reset; the first is worth nothing then', async () => {
    const { user, code } = await invite('gina');
    const { code: second } = await reset(user.id);
    expect(refusalOf(await redeem(code))).toEqual([400, 'invalid_code']);
    expect((await redeem(second)).status).toBe(204);
  });
});

describe('a reset', () => {
  it('kills the password and every session at once, and says who may set another', async () => {
    const hugo = await world.person('hugo');
    const second = await world.again(hugo);
    expect((await hugo.ask('/auth/me')).status).toBe(200);

    const { user, code, codeExpiresAt } = await reset(hugo.id);

    expect(user).toMatchObject({ id: hugo.id, standing: 'reset', resetAt: expect.any(String) });
    expect(Date.parse(codeExpiresAt) - Date.parse(user.resetAt ?? '')).toBe(24 * hours);
    expect(refusalOf(await login('hugo', PASSWORD))).toEqual([401, 'invalid_credentials']);
    for (const session of [hugo, second]) {
      expect(refusalOf(await session.ask('/auth/me'))).toEqual([401, 'invalid_token']);
      expect(refusalOf(await world.server.refresh(session.refreshToken))).toEqual([400, 'invalid_grant']);
    }
    expect((await redeem(code)).status).toBe(204);
    expect((await login('hugo', OTHER_PASSWORD)).status).toBe(200);
    expect((await login('hugo', PASSWORD)).status).toBe(401);
    expect(await standing(hugo.id)).toBe('active');
  });

  it('makes an earlier code worthless', async () => {
    const { id } = await world.person('ivan');
    const { code: first } = await reset(id);
    const { code } = await reset(id);
    expect(refusalOf(await redeem(first))).toEqual([400, 'invalid_code']);
    expect((await redeem(code)).status).toBe(204);
  });

  it('is nothing that administrators do to themselves: a stolen session would be worth a password', async () => {
    await world.person('deputy', ['admin']);
    const answer = await world.root.ask(`/users/${world.root.id}/reset`, { method: 'POST' });
    expect(refusalOf(answer)).toEqual([403, 'own_account']);
    expect((await login(world.root.username, PASSWORD)).status).toBe(200);
  });

  it('beats a login that had checked the old password just before', async () => {
    const { id } = await world.person('jane');
    const checked = await world.server.app.get(UsersService).authenticate('jane', PASSWORD);
    await reset(id);
    expect(await world.server.app.get(SessionStore).open(checked, {})).toBeUndefined();
    expect(sessionsSchema.parse((await world.root.ask(`/users/${id}/sessions`)).body).sessions).toEqual([]);
  });

  it('beats a better hash of the old password that was on its way', async () => {
    const { id } = await world.person('kate');
    const store = world.server.app.get(UserStore);
    const old = (await store.findForLogin('kate'))?.passwordHash ?? '';
    const better = await world.server.app.get(PasswordHasher).hash(PASSWORD);
    await reset(id);
    await store.rehash(id, old, better);
    expect(await standing(id)).toBe('reset');
  });
});
