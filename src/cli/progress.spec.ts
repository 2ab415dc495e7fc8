import { describe, expect, it } from '@jest/globals';
import { progressLine, withProgress, type ProgressTerminal } from './progress.js';

/** A terminal that remembers, with a clock that moves when it is told to. */
class Scene implements ProgressTerminal {
  readonly written: string[] = [];
  readonly isTTY: boolean;
  readonly columns: number;
  readonly overwrites: boolean;
  readonly draws: boolean;
  private time = 0;
  private beat: (() => void) | undefined;

  constructor({ isTTY = true, columns = 80, overwrites = true, draws = false } = {}) {
    [this.isTTY, this.columns, this.overwrites, this.draws] = [isTTY, columns, overwrites, draws];
  }

  now(): number {
    return this.time;
  }

  every(_milliseconds: number, beat: () => void): () => void {
    this.beat = beat;
    return () => (this.beat = undefined);
  }

  write(text: string): void {
    this.written.push(text);
  }

  pass(milliseconds: number): void {
    this.time += milliseconds;
    this.beat?.();
  }

  get beats(): boolean {
    return this.beat !== undefined;
  }
}

/** What overwrites a line of a terminal with 80 columns. */
const cleared = `\r${' '.repeat(79)}\r`;
const bounded = { atMost: 2_500 };

describe('progress', () => {
  it('is not shown of what is over within a second', async () => {
    const scene = new Scene();
    const outcome = await withProgress('waiting', bounded, async () => scene.pass(999), scene);
    expect({ outcome, written: scene.written, beats: scene.beats }).toEqual({
      outcome: undefined,
      written: [],
      beats: false,
    });
  });

  it('grows in one line that is gone when it is over', async () => {
    const scene = new Scene();
    const work = async (): Promise<string> => {
      scene.pass(1_000);
      scene.pass(1_000);
      return 'done';
    };
    expect(await withProgress('waiting', bounded, work, scene)).toBe('done');
    expect(scene.written).toEqual([
      `\r[########------------] 1.0 s  waiting`,
      `\r[################----] 2.0 s  waiting`,
      cleared,
    ]);
    expect(scene.beats).toBe(false);
  });

  it('is as far as the work says', async () => {
    const scene = new Scene();
    await withProgress(
      'sealing',
      {},
      async (done) => {
        done(0.25);
        scene.pass(1_000);
        done(1);
        scene.pass(100);
      },
      scene,
    );
    expect(scene.written).toEqual([
      `\r[#####---------------] 1.0 s  sealing`,
      `\r[####################] 1.1 s  sealing`,
      cleared,
    ]);
  });

  it('is gone when the work fails, and the failure passes', async () => {
    const scene = new Scene();
    const work = async (): Promise<void> => {
      scene.pass(1_500);
      throw new Error('refused');
    };
    await expect(withProgress('waiting', bounded, work, scene)).rejects.toThrow('refused');
    expect(scene.written.at(-1)).toBe(cleared);
    expect(scene.beats).toBe(false);
  });

  it.each([
    ['where no person looks', { isTTY: false }, {}],
    ['to a script', {}, { json: true }],
  ])('is not shown %s', async (_where, terminal, asked) => {
    const scene = new Scene(terminal);
    await withProgress('waiting', { ...bounded, ...asked }, async () => scene.pass(5_000), scene);
    expect(scene.written).toEqual([]);
  });

  it('is one line, said once, where a line cannot be overwritten', async () => {
    const scene = new Scene({ overwrites: false });
    const work = async (): Promise<void> => [1_000, 1_000].forEach((time) => scene.pass(time));
    await withProgress('waiting', bounded, work, scene);
    expect(scene.written).toEqual(['waiting …\n']);
  });

  it('never wraps, so that it can be cleared', async () => {
    const scene = new Scene({ columns: 30 });
    await withProgress('waiting for a long time', bounded, async () => scene.pass(1_200), scene);
    expect(scene.written).toEqual([`\r[#########-----------] 1.2 s `, `\r${' '.repeat(29)}\r`]);
  });
});

describe('a line of progress', () => {
  it('is full, and no fuller, when it takes longer than it may', () => {
    expect(progressLine('waiting', 9_000, 3.6, false)).toBe('[####################] 9.0 s  waiting');
  });

  it('wanders to and fro where nobody knows how long it takes', () => {
    const bars = [0, 100, 1_500, 1_600, 1_700, 3_100, 3_200].map((passed) =>
      progressLine('', passed, undefined, false).slice(1, 21),
    );
    expect(bars).toEqual([
      '####----------------',
      '-####---------------',
      '---------------####-',
      '----------------####',
      '---------------####-',
      '-####---------------',
      '####----------------',
    ]);
  });

  it('is of blocks where the terminal can draw them', () => {
    expect(progressLine('waiting', 1_000, 0.5, true)).toBe('[██████████░░░░░░░░░░] 1.0 s  waiting');
  });
});
