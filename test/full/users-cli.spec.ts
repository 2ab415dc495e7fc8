import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { history } from '../support/history.js';
import { createWorld, OTHER_PASSWORD, refusalOf, userSchema, withCodeSchema, type World } from '../users/world.js';

const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url));

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(async () => await world.close());

/** What `keyturn users …` printed, and how it ended. */
const users = (...words: readonly string[]) => usersGiven(`${OTHER_PASSWORD}\n`, ...words);

/** The same, with this on standard input. */
function usersGiven(input: string, ...words: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const { server, database } = world;
  const environment = {
    PATH: process.env['PATH'],
    NODE_ENV: 'test',
    DATABASE_URL: database.urls.app,
    ISSUER: server.url,
  };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [cli, 'users', ...words], { env: environment }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
    child.stdin?.end(input);
  });
}

describe('keyturn users', () => {
  it('create makes a user who can log in, list shows them', async () => {
    expect(await users('create', 'anna', '--role', 'hr')).toMatchObject({ code: 0, err: '' });
    await world.server.login('anna', OTHER_PASSWORD);

    const { out } = await users('list', '--json');
    const listed = z.array(userSchema).parse(JSON.parse(out));
    expect(listed.map(({ username, roles, standing }) => [username, roles, standing])).toEqual([
      ['root@example.com', ['admin'], 'active'],
      ['anna', ['hr'], 'active'],
    ]);
    expect((await users('list', '--role', 'hr')).out).toMatch(/anna +active +hr /);
    expect((await users('list', '--standing', 'disabled')).out).toBe('No such user.\n');
  });

  it('create --invite prints a code that works once', async () => {
    const { out, code: exit } = await users('create', 'bert', '--invite', '--json');
    const { user, code, redeemUrl } = withCodeSchema.parse(JSON.parse(out));
    expect([exit, user.standing, redeemUrl]).toEqual([0, 'invited', `${world.server.url}/redeem?code=${code}`]);
    const redeem = () => world.server.ask('/auth/redeem', { json: { code, password: OTHER_PASSWORD } });
    expect([(await redeem()).status, refusalOf(await redeem())]).toEqual([204, [400, 'invalid_code']]);
    await world.server.login('bert', OTHER_PASSWORD);
  });

  it('disable ends every session, on servers that run too, and enable lets them in again', async () => {
    const carl = await world.person('carl');
    expect((await carl.ask('/auth/me')).status).toBe(200);
    expect(await users('disable', 'CARL', '--reason', 'left')).toMatchObject({ code: 0, err: '' });
    await world.server.hearNews();
    expect(refusalOf(await carl.ask('/auth/me'))).toEqual([401, 'invalid_token']);
    const newest = (await history(await world.database.connect('app'))).at(-1)?.said;
    expect(newest).toMatchObject({ event: 'user_disabled', subject: carl.id, actor: null, reason: 'left' });
    expect(newest?.application_name).toBe('keyturn cli');
    expect((await users('enable', 'carl')).out).toBe('carl may log in again.\n');
    await world.again(carl);
  });

  it('reset-password prints, once, where another password is set', async () => {
    const dora = await world.person('dora');
    const { code: exit, out } = await users('reset-password', 'dora');
    const code = /code {2}([\w-]{32})\n/.exec(out)?.[1] ?? '';
    expect([exit, out.includes(`${world.server.url}/redeem?code=${code}\n`)]).toEqual([0, true]);
    await world.server.hearNews();
    expect(refusalOf(await dora.ask('/auth/me'))).toEqual([401, 'invalid_token']);
    const redeemed = await world.server.ask('/auth/redeem', { json: { code, password: OTHER_PASSWORD } });
    expect(redeemed.status).toBe(204);
    await world.again(dora, OTHER_PASSWORD);
  });

  it('create without a terminal and without a password says where it looked for one', async () => {
    expect(await usersGiven('', 'create', 'nobody')).toEqual({
      code: 1,
      out: '',
      err: 'keyturn: input_empty: Password of nobody was read from standard input, for there is no terminal, and it was empty.\n',
    });
  });

  it.each<[words: readonly string[], exit: number, said: RegExp]>([
    [['disable', 'root@example.com'], 1, /^keyturn: last_administrator: This is the last administrator who can log in/],
    [
      ['reset-password', 'root@example.com'],
      1,
      /^keyturn: last_administrator: This is the last administrator who can log in/,
    ],
    [['disable', 'nobody'], 1, /^keyturn: not_found: There is no user nobody\.\n$/],
    [
      ['create', 'Root@example.com', '--invite'],
      1,
      /^keyturn: username_taken: There is a user Root@example\.com already\.\n$/,
    ],
    [['create', 'two words'], 2, /A username has/],
    [['create', 'x', '--role', 'two words'], 2, /A role has/],
    [['list', '--standing', 'asleep'], 2, /Allowed choices are active, invited, reset, disabled/],
    [
      ['disable', 'nobody', '--json'],
      1,
      /^\{"error":\{"code":"not_found","message":"There is no user nobody\."\}\}\n$/,
    ],
  ])('%j ends with %i, a code and a sentence', async (words, exit, said) => {
    const { code, out, err } = await users(...words);
    expect([code, out]).toEqual([exit, '']);
    expect(err).toMatch(said);
    expect(err).not.toContain('    at ');
  });
});
