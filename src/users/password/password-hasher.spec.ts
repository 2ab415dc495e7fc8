import { describe, expect, it } from '@jest/globals';
import { KeyturnError } from '../../common/errors.js';
import { DEFAULT_ARGON2_COST, PasswordHasher } from './password-hasher.js';

const CHEAP = { memoryCost: 64, timeCost: 1, parallelism: 1 };
const PASSWORD = 'winter apple staircase';
const cheap = new PasswordHasher({ cost: CHEAP, concurrency: 2, queue: 100 });

describe('hash', () => {
  it('writes a PHC string with the parameters given, and a salt of its own each time', async () => {
    const [first, second] = await Promise.all([cheap.hash(PASSWORD), cheap.hash(PASSWORD)]);
    expect(first).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$[^$]{22}\$[^$]{43}$/);
    expect(second).not.toBe(first);
  });

  it('costs 19 MiB, two passes and one lane unless told otherwise', async () => {
    const hasher = new PasswordHasher({ concurrency: 1, queue: 0 });
    const phc = await hasher.hash(PASSWORD);
    expect(phc).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await hasher.verify(phc, PASSWORD)).toBe(true);
  });
});

describe('verify', () => {
  it('tells the password from another', async () => {
    const phc = await cheap.hash(PASSWORD);
    expect(await cheap.verify(phc, PASSWORD)).toBe(true);
    expect(await cheap.verify(phc, `${PASSWORD} `)).toBe(false);
    expect(await cheap.verify(phc, PASSWORD.toUpperCase())).toBe(false);
    expect(await cheap.verify(phc, '')).toBe(false);
  });

  it('goes by the parameters of the hash, not by its own', async () => {
    const phc = await new PasswordHasher({ cost: { ...CHEAP, timeCost: 3 }, concurrency: 1, queue: 0 }).hash(PASSWORD);
    expect(await cheap.verify(phc, PASSWORD)).toBe(true);
  });

  it('takes composed and decomposed letters for the same', async () => {
    const phc = await cheap.hash('zoe\u0308 und das cafe\u0301');
    expect(await cheap.verify(phc, 'zo\u00eb und das caf\u00e9')).toBe(true);
    expect(await cheap.verify(phc, 'zoe und das cafe')).toBe(false);
  });

  it('does not fold compatible letters together', async () => {
    const phc = await cheap.hash('ﬁne');
    expect(await cheap.verify(phc, 'fine')).toBe(false);
  });

  it.each([
    ['after NUL', 'before\0', 'a', 'b'],
    ['beyond 72 bytes', 'x'.repeat(72), 'a', 'b'],
    ['beyond 4096 bytes', 'ë'.repeat(2048), 'a', 'b'],
  ])('cuts nothing off: %s', async (_, start, right, wrong) => {
    const phc = await cheap.hash(start + right);
    expect(await cheap.verify(phc, start + right)).toBe(true);
    expect(await cheap.verify(phc, start + wrong)).toBe(false);
  });

  const good = `$argon2id$v=19$m=64,t=1,p=1$${'B'.repeat(21)}A$${'B'.repeat(42)}A`;

  it.each([
    ['nothing', ''],
    ['plain text', PASSWORD],
    ['bcrypt', '$2b$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghij'],
    ['argon2i', good.replace('argon2id', 'argon2i')],
    ['an old version', good.replace('v=19', 'v=16')],
    ['a digest cut short', good.slice(0, -3)],
    ['no digest', good.replace(/\$[^$]*$/, '')],
    ['a salt cut short', good.replace('BBB', '')],
    ['more behind it', `${good}\n`],
    ['parameters out of bounds', good.replace('m=64', 'm=1')],
    ['an alphabet of its own', good.replace('BB', '--')],
    ['trailing bits that are not zero', `${good.slice(0, -1)}B`],
  ])('calls a malformed stored hash a defect: %s', async (_, phc) => {
    const refusal = cheap.verify(phc, PASSWORD);
    await expect(refusal).rejects.toThrow();
    await expect(refusal).rejects.not.toBeInstanceOf(KeyturnError);
  });

  it('does not show the malformed hash', async () => {
    await expect(cheap.verify('$secret', PASSWORD)).rejects.toThrow('A stored password hash is malformed');
  });
});

describe('needsRehash', () => {
  const hasher = new PasswordHasher({ cost: DEFAULT_ARGON2_COST, concurrency: 1, queue: 0 });

  it.each([
    ['the same', 19_456, 2, 1, false],
    ['less memory', 9_728, 2, 1, true],
    ['fewer passes', 19_456, 1, 1, true],
    ['more memory but fewer passes', 47_104, 1, 1, true],
    ['other lanes', 19_456, 2, 2, true],
    ['more of everything', 47_104, 3, 1, false],
  ])('%s', (_, m, t, p, expected) => {
    expect(hasher.needsRehash(phcOf(m, t, p))).toBe(expected);
  });

  it('is false for what hash has just made', async () => {
    expect(cheap.needsRehash(await cheap.hash(PASSWORD))).toBe(false);
  });

  it('calls a malformed hash a defect', () => {
    expect(() => hasher.needsRehash('x')).toThrow('A stored password hash is malformed');
  });
});

describe('verifyDummy', () => {
  it('says no to everything', async () => {
    expect(await cheap.verifyDummy(PASSWORD)).toBe(false);
    expect(await cheap.verifyDummy('')).toBe(false);
  });

  it('asks of argon2 what verify asks for a hash made today', async () => {
    const { engine, calls, finish } = slowEngine();
    const hasher = new PasswordHasher(
      { cost: { memoryCost: 128, timeCost: 3, parallelism: 1 }, concurrency: 1, queue: 0 },
      engine,
    );
    const answer = hasher.verifyDummy('cafe\u0301');
    await settled();
    finish(0, true);
    expect(await answer).toBe(false);
    expect(calls).toEqual([{ phc: phcOf(128, 3), password: 'caf\u00e9' }]);
  });

  it.each([
    ['less memory', 19_456, 2],
    ['fewer passes', 65_536, 1],
    ['the same', 65_536, 3],
    ['a little less, too little to tell', 65_530, 3],
  ])('asks as much as verify does for a hash that was made at another cost: %s', async (_, memory, passes) => {
    const work = async (verify: (hasher: PasswordHasher) => Promise<boolean>): Promise<number> => {
      const asked: string[] = [];
      const engine = { hash: async () => '', verify: async (phc: unknown) => asked.push(String(phc)) === 0 };
      const cost = { memoryCost: 65_536, timeCost: 3, parallelism: 1 };
      await verify(new PasswordHasher({ cost, concurrency: 1, queue: 0 }, engine));
      return asked
        .map((phc) => /m=(\d+),t=(\d+)/.exec(phc))
        .reduce((sum, found) => sum + Number(found?.[1]) * Number(found?.[2]), 0);
    };
    const unknown = await work((hasher) => hasher.verifyDummy(PASSWORD));
    const known = await work((hasher) => hasher.verify(phcOf(memory, passes), PASSWORD));
    expect(Math.abs(known / unknown - 1)).toBeLessThan(0.001);
  });

  it('takes a permit too', async () => {
    const { engine, finish } = slowEngine();
    const hasher = new PasswordHasher({ cost: CHEAP, concurrency: 1, queue: 0 }, engine);
    const first = hasher.verifyDummy('a');
    await expect(hasher.verifyDummy('b')).rejects.toMatchObject({ code: 'busy' });
    finish(0, false);
    expect(await first).toBe(false);
  });
});

describe('a bounded number of hashes', () => {
  it('run at once, a bounded number wait, the rest are told when to come again', async () => {
    const { hasher, calls, finish } = bounded(2, 1);
    const running = [hasher.hash('1'), hasher.verify(phcOf(64, 1), '2')];
    const waiting = hasher.hash('3');
    await expect(hasher.hash('4')).rejects.toMatchObject({
      name: 'KeyturnError',
      code: 'busy',
      details: { retryAfter: 1 },
    });
    await settled();
    expect(calls.map(({ password }) => password)).toEqual(['1', '2']);

    finish(1, true);
    expect(await running[1]).toBe(true);
    await settled();
    expect(calls.map(({ password }) => password)).toEqual(['1', '2', '3']);

    finish(0, true);
    finish(2, true);
    expect(await Promise.all([running[0], waiting])).toEqual(['hash of 1', 'hash of 3']);
  });

  it('hold their permits until they end, though nobody waits for the answer', async () => {
    const { hasher, calls, finish } = bounded(1, 0);
    void hasher.hash('left alone');
    await settled();
    await expect(hasher.hash('next')).rejects.toMatchObject({ code: 'busy' });
    finish(0, true);
    await settled();
    void hasher.hash('next');
    await settled();
    expect(calls.map(({ password }) => password)).toEqual(['left alone', 'next']);
  });

  it('give their permits back when they fail', async () => {
    const { hasher, calls, fail } = bounded(1, 1);
    const first = hasher.hash('1');
    const second = hasher.hash('2');
    await settled();
    fail(0);
    await expect(first).rejects.toThrow('out of memory');
    await settled();
    expect(calls).toHaveLength(2);
    fail(1);
    await expect(second).rejects.toThrow('out of memory');
    const third = hasher.hash('3');
    await settled();
    fail(2);
    await expect(third).rejects.toThrow('out of memory');
  });

  it('are served in the order they came, and a newcomer does not overtake', async () => {
    const { hasher, calls, finish } = bounded(1, 3);
    const answers = ['1', '2', '3'].map((password) => hasher.hash(password));
    await settled();
    finish(0, true);
    answers.push(hasher.hash('4'));
    for (const at of [1, 2, 3]) {
      await settled();
      finish(at, true);
    }
    await Promise.all(answers);
    expect(calls.map(({ password }) => password)).toEqual(['1', '2', '3', '4']);
  });

  it('leave room for others when one network asks for more than there is: its last gives way, and the lines take turns', async () => {
    const { hasher, calls, finish } = bounded(1, 4);
    const crowd = { of: 'from 203.0.113.7', known: false };
    const flood = Array.from({ length: 6 }, (_, number) => outcomeOf(hasher.verifyDummy(`crowd ${number}`, crowd)));
    await settled();

    const neighbour = hasher.verifyDummy('neighbour', { of: 'from 198.51.100.9', known: false });
    const known = hasher.verifyDummy('known, at the same network', { of: 'name anna', known: true });
    const again = hasher.verifyDummy('proves the password', { of: 'user 7', known: true });
    flood.push(outcomeOf(hasher.verifyDummy('crowd 6', crowd)));

    for (let at = 0; at < 5; at++) {
      await settled();
      finish(at, false);
    }
    expect(await Promise.all([neighbour, known, again])).toEqual([false, false, false]);
    expect(await Promise.all(flood)).toEqual([false, false, 'busy', 'busy', 'busy', 'busy', 'busy']);
    expect(calls.map(({ password }) => password)).toEqual([
      'crowd 0',
      'crowd 1',
      'neighbour',
      'known, at the same network',
      'proves the password',
    ]);
  });

  it('leave room for whoever is known when strangers from as many networks as there are places wait', async () => {
    const { hasher, calls, finish } = bounded(1, 2);
    const from = (network: string) => outcomeOf(hasher.verifyDummy(network, { of: `from ${network}`, known: false }));
    const strangers = ['a', 'b', 'c', 'd'].map(from);
    const known = ['1', '2'].map((password) =>
      outcomeOf(hasher.verifyDummy(password, { of: 'name anna', known: true })),
    );
    for (let at = 0; at < 3; at++) {
      await settled();
      finish(at, false);
    }
    // The second of the same name pushes nobody out.
    expect(await Promise.all(known)).toEqual([false, 'busy']);
    expect((await Promise.all(strangers)).filter((outcome) => outcome === 'busy')).toHaveLength(2);
    expect(calls).toHaveLength(3);
  });

  it('do not count a malformed stored hash', async () => {
    const { hasher, calls } = bounded(1, 0);
    await expect(hasher.verify('x', '1')).rejects.toThrow('malformed');
    void hasher.hash('2');
    await settled();
    expect(calls).toHaveLength(1);
  });

  it.each([
    [0, 1],
    [1.5, 1],
    [Number.NaN, 1],
    [1, -1],
    [1, Number.POSITIVE_INFINITY],
  ])('must be a number that makes sense: concurrency %d, queue %d', (concurrency, queue) => {
    expect(() => new PasswordHasher({ concurrency, queue })).toThrow(RangeError);
  });
});

function phcOf(m: number, t: number, p = 1): string {
  return `$argon2id$v=19$m=${m},t=${t},p=${p}$${'A'.repeat(22)}$${'A'.repeat(43)}`;
}

/** An argon2 whose every call ends when the test says so. */
function slowEngine() {
  const calls: { phc?: string; password: string }[] = [];
  const ends: { resolve: (outcome: boolean) => void; reject: (error: Error) => void }[] = [];
  const call = (entry: { phc?: string; password: string }) =>
    new Promise<boolean>((resolve, reject) => {
      calls.push(entry);
      ends.push({ resolve, reject });
    });
  return {
    calls,
    finish: (at: number, outcome: boolean) => ends[at]?.resolve(outcome),
    fail: (at: number) => ends[at]?.reject(new Error('out of memory')),
    engine: {
      hash: async (password: string | Uint8Array) => {
        await call({ password: String(password) });
        return `hash of ${String(password)}`;
      },
      verify: (phc: string | Uint8Array, password: string | Uint8Array) =>
        call({ phc: String(phc), password: String(password) }),
    },
  };
}

function bounded(concurrency: number, queue: number) {
  const slow = slowEngine();
  return { ...slow, hasher: new PasswordHasher({ cost: CHEAP, concurrency, queue }, slow.engine) };
}

/** What it resolved to, or the code of the error. */
const outcomeOf = (answer: Promise<boolean>): Promise<unknown> =>
  answer.catch((error: unknown) => (error instanceof KeyturnError ? error.code : error));

/** After every promise that can settle has settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
