import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { UserAdministration } from '../../src/auth/administration/user-administration.js';
import type { KeyturnError } from '../../src/common/errors.js';
import { userSchema, createWorld, idOfSession, refusalOf, type Person, type World } from '../users/world.js';

let world: World;
/** The only administrator. */
let root: Person;
let app: Client;
let count = 0;
beforeAll(async () => {
  world = await createWorld();
  app = await world.database.connect('app');
});
beforeEach(async () => {
  count += 1;
  root = await world.person(`root-${count}`, ['admin']);
  await leaveOnly(root);
});
afterAll(async () => await world.close());

const second = (): Promise<Person> => world.person(`second-${count}`, ['admin']);
const leaveOnly = (...people: readonly Person[]) =>
  app.query(`UPDATE keyturn.users SET roles = '{}' WHERE id <> ALL ($1)`, [people.map(({ id }) => id)]);

/** How many could let others in again. */
async function administrators(): Promise<number> {
  const { rowCount } = await app.query(
    `SELECT FROM keyturn.users WHERE 'admin' = ANY (roles) AND disabled_at IS NULL AND password_hash IS NOT NULL`,
  );
  return rowCount ?? 0;
}

const demote = (by: Person, whom: Person) => by.ask(`/users/${whom.id}`, { method: 'PATCH', json: { roles: ['hr'] } });
const disable = (by: Person, whom: Person) => by.ask(`/users/${whom.id}/disable`, { method: 'POST' });
const reset = (by: Person, whom: Person) => by.ask(`/users/${whom.id}/reset`, { method: 'POST' });

describe('the last administrator', () => {
  it('cannot disable themselves', async () => {
    expect(refusalOf(await disable(root, root))).toEqual([409, 'last_administrator']);
    expect((await root.ask('/users')).status).toBe(200);
  });

  it.each<[what: string, act: (administration: UserAdministration, id: string) => Promise<unknown>]>([
    ['disabled', (administration, id) => administration.disable({}, id)],
    ['demoted', (administration, id) => administration.alter({}, id, { roles: ['auditor'] })],
    ['reset', (administration, id) => administration.reset({}, id)],
  ])('cannot be %s from the command line either', async (_what, act) => {
    await expect(act(world.server.app.get(UserAdministration), root.id)).rejects.toMatchObject({
      code: 'last_administrator',
    } satisfies Partial<KeyturnError>);
    expect(await administrators()).toBe(1);
  });

  it('is the last even beside administrators who are disabled, or invited and without a password', async () => {
    await root.ask('/users', { json: { username: `invited-${count}`, roles: ['admin'] } });
    const other = await second();
    expect((await disable(root, other)).status).toBe(200);
    expect(refusalOf(await disable(root, root))).toEqual([409, 'last_administrator']);
  });

  it('may have their name changed', async () => {
    const answer = await root.ask(`/users/${root.id}`, { method: 'PATCH', json: { username: `chief-${count}` } });
    expect(userSchema.parse(answer.body).username).toBe(`chief-${count}`);
  });

  it('may go once there is another', async () => {
    const other = await second();
    expect((await demote(other, root)).status).toBe(200);
    expect(await administrators()).toBe(1);
  });

  it.each<[what: string, act: typeof demote]>([
    ['demote', demote],
    ['disable', disable],
    ['reset', reset],
  ])('is left when two %s each other at the same time: one of them wins', async (_what, act) => {
    for (let round = 0; round < 4; round += 1) {
      const [one, other] = [
        await world.person(`one-${count}-${round}`, ['admin']),
        await world.person(`other-${count}-${round}`, ['admin']),
      ];
      await leaveOnly(one, other);

      const answers = await Promise.all([act(one, other), act(other, one)]);

      const refused = answers.filter(({ status }) => status !== 200).map(refusalOf);
      expect(refused).toHaveLength(1);
      // Refused under the lock, or by the guard when the other was done before the request came.
      expect([[[409, 'last_administrator']], [[401, 'invalid_token']]]).toContainEqual(refused);
      expect(await administrators()).toBe(1);
    }
  });

  it('is left when many changes want to take the last two, straight to the use-case', async () => {
    const other = await second();
    const administration = world.server.app.get(UserAdministration);
    const outcomes = await Promise.allSettled([
      administration.alter({ userId: root.id }, other.id, { roles: [] }),
      administration.alter({ userId: other.id }, root.id, { roles: [] }),
      administration.disable({}, other.id),
      administration.disable({}, root.id),
      administration.reset({}, other.id),
      administration.reset({}, root.id),
    ]);
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
    expect(await administrators()).toBe(1);
  });
});

describe('an administrator who is none any more', () => {
  it('changes nothing, even when the request had passed the guard before', async () => {
    const other = await second();
    const third = await world.person(`third-${count}`, ['admin']);
    const administration = world.server.app.get(UserAdministration);
    await demote(root, other);
    await expect(administration.disable({ userId: other.id }, third.id)).rejects.toMatchObject({
      code: 'insufficient_scope',
    });
    await expect(
      administration.invite({ userId: other.id }, { username: 'puppet', roles: ['admin'] }),
    ).rejects.toMatchObject({ code: 'insufficient_scope' });
    await expect(administration.endSessions({ userId: other.id }, third.id)).rejects.toMatchObject({
      code: 'insufficient_scope',
    });
    await expect(
      administration.endSession({ userId: other.id }, third.id, idOfSession(third.token)),
    ).rejects.toMatchObject({ code: 'insufficient_scope' });
    expect((await third.ask('/users?q=puppet')).body).toEqual({ users: [], next: null });
    expect((await third.ask('/users')).status).toBe(200);
  });
});
