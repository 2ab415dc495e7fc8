import { environment } from './context.js';
import { canDraw } from './timeline.js';

/** Where progress is shown: standard error, so that what a command prints stays clean. */
export interface ProgressTerminal {
  /** Does a person look? A pipe or a log is none. */
  readonly isTTY: boolean;
  readonly columns: number;
  /** Can a line be overwritten? */
  readonly overwrites: boolean;
  /** Can it draw blocks? */
  readonly draws: boolean;
  write(text: string): unknown;
  /** Milliseconds that only go forward. */
  now(): number;
  /** Calls `beat` every `milliseconds`. @returns how to end that */
  every(milliseconds: number, beat: () => void): () => void;
}

/** What takes less is over before it can be read. */
const PATIENCE_MS = 1_000;
const BEAT_MS = 100;
const WIDTH = 20;
/** What wanders to and fro while nobody knows how long it takes. */
const WANDERER = 4;

const realTerminal: ProgressTerminal = {
  isTTY: process.stderr.isTTY,
  columns: process.stderr.columns || 80,
  overwrites: environment['TERM'] !== 'dumb',
  draws: canDraw(environment),
  write: (text) => process.stderr.write(text),
  now: () => performance.now(),
  every: (milliseconds, beat) => {
    const timer = setInterval(beat, milliseconds);
    timer.unref();
    return () => clearInterval(timer);
  },
};

interface Extent {
  /** How long it takes at most, in milliseconds: the bar is full then. Unknown: the work says how far it is, or the bar wanders. */
  readonly atMost?: number;
  /** The command writes for a script: nothing is shown. */
  readonly json?: boolean | undefined;
}

/**
 * Shows that something goes on, once it takes longer than a second, in one line that is gone again before the outcome is printed.
 * Nothing is shown where no person looks; a terminal that cannot overwrite a line is told once.
 * @param work may say how much is done, from 0 to 1
 */
export async function withProgress<T>(
  what: string,
  { atMost, json }: Extent,
  work: (done: (share: number) => void) => Promise<T>,
  terminal: ProgressTerminal = realTerminal,
): Promise<T> {
  if (!terminal.isTTY || json) return await work(() => undefined);
  const begun = terminal.now();
  // A line that wraps could not be overwritten.
  const room = terminal.columns - 1;
  let share: number | undefined;
  let shown = false;
  const end = terminal.every(BEAT_MS, () => {
    const passed = terminal.now() - begun;
    if (passed < PATIENCE_MS || (shown && !terminal.overwrites)) return;
    shown = true;
    if (!terminal.overwrites) return terminal.write(`${what} …\n`);
    const known = share ?? (atMost === undefined ? undefined : passed / atMost);
    return terminal.write(`\r${progressLine(what, passed, known, terminal.draws).slice(0, room)}`);
  });
  try {
    return await work((now) => (share = now));
  } finally {
    end();
    // Spaces, which every terminal that overwrites understands.
    if (shown && terminal.overwrites) terminal.write(`\r${' '.repeat(room)}\r`);
  }
}

/**
 * `[########------------] 1.0 s  waiting for servers`
 * @param share how much is done, from 0 to 1; undefined: nobody knows
 */
export function progressLine(what: string, passed: number, share: number | undefined, draws: boolean): string {
  const [full, empty] = draws ? ['█', '░'] : ['#', '-'];
  const turn = Math.floor(passed / BEAT_MS) % (2 * (WIDTH - WANDERER));
  const from = share === undefined ? Math.min(turn, 2 * (WIDTH - WANDERER) - turn) : 0;
  const length = share === undefined ? WANDERER : Math.min(WIDTH, Math.floor(share * WIDTH));
  const bar = empty.repeat(from) + full.repeat(length) + empty.repeat(WIDTH - from - length);
  return `[${bar}] ${(passed / 1_000).toFixed(1)} s  ${what}`;
}
