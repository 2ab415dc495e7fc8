import { KeyturnError } from '../../common/errors.js';

/** On whose behalf work is done: turns go round between these, and nobody's crowd keeps anybody else out. */
export interface Turn {
  /** Whoever shares this shares a line. */
  readonly of: string;
  /** They have shown who they are, or where they logged in before: strangers make room for the first of them in line. */
  readonly known: boolean;
}

interface Waiting {
  readonly known: boolean;
  readonly start: () => void;
  readonly refuse: (reason: KeyturnError) => void;
}

/**
 * Lets a bounded amount of work run at once and a bounded amount wait; refuses the rest. Each party waits in a line of its own, in order, and
 * the lines take turns. When all places are taken, the last of the longest line leaves for a newcomer whose line stays shorter than that
 * (McKenney's stochastic fairness queueing, without the chance): so one party may fill every place only until another wants one.
 */
export class Permits {
  private running = 0;
  private places: number;
  /** None is empty; the first is the next to have its turn. */
  private readonly lines = new Map<string, Waiting[]>();

  constructor(
    private readonly concurrency: number,
    queue: number,
  ) {
    if (!Number.isSafeInteger(concurrency) || concurrency < 1) throw new RangeError('concurrency must be 1 or more');
    if (!Number.isSafeInteger(queue) || queue < 0) throw new RangeError('queue must be 0 or more');
    this.places = queue;
  }

  /**
   * The permit is held until `work` has settled, whether or not anyone still waits for the answer: work that cannot be
   * stopped must stay counted.
   * @throws KeyturnError `busy` when there is no place to wait, or it had to be left to somebody else
   */
  async run<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    await this.take(turn);
    try {
      return await work();
    } finally {
      this.giveBack();
    }
  }

  private async take({ of, known }: Turn): Promise<void> {
    if (this.running < this.concurrency) {
      this.running++;
      return;
    }
    if (this.places === 0 && !this.makeRoom({ of, known })) throw busy();
    this.places--;
    await new Promise<void>((start, refuse) => {
      const line = this.lines.get(of);
      if (line) line.push({ known, start, refuse });
      else this.lines.set(of, [{ known, start, refuse }]);
    });
  }

  /** Sends somebody away for a newcomer; false when the newcomer has to go. */
  private makeRoom({ of, known }: Turn): boolean {
    const own = this.lines.get(of)?.length ?? 0;
    const longest = this.longest();
    if (longest && longest[1].length > own + 1) return this.sendAway(longest);
    const strangers = known && own === 0 ? this.longest(false) : undefined;
    return strangers !== undefined && this.sendAway(strangers);
  }

  /** Of all lines, or of those of strangers. */
  private longest(known?: boolean): [string, Waiting[]] | undefined {
    const lines = [...this.lines].filter(([, line]) => known === undefined || line[0]?.known === known);
    return lines.sort(([, a], [, b]) => b.length - a.length)[0];
  }

  /** The last of a line. */
  private sendAway([of, line]: [string, Waiting[]]): true {
    line.pop()?.refuse(busy());
    if (line.length === 0) this.lines.delete(of);
    this.places++;
    return true;
  }

  private giveBack(): void {
    // Handed on rather than freed, so that a newcomer cannot overtake those who wait.
    const [next] = this.lines;
    if (!next) {
      this.running--;
      return;
    }
    const [of, line] = next;
    this.lines.delete(of);
    const first = line.shift();
    if (line.length > 0) this.lines.set(of, line); // behind all others
    this.places++;
    first?.start();
  }
}

const busy = (): KeyturnError =>
  new KeyturnError('busy', 'The server is busy. Please try again in a moment.', { retryAfter: 1 });
