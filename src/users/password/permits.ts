import { KeyturnError } from '../../common/errors.js';

/** Lets a bounded amount of work run at once and a bounded amount wait, in order; refuses the rest. */
export class Permits {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly concurrency: number,
    private readonly queue: number,
  ) {
    if (!Number.isSafeInteger(concurrency) || concurrency < 1) throw new RangeError('concurrency must be 1 or more');
    if (!Number.isSafeInteger(queue) || queue < 0) throw new RangeError('queue must be 0 or more');
  }

  /**
   * The permit is held until `work` has settled, whether or not anyone still waits for the answer: work that cannot be
   * stopped must stay counted.
   * @throws KeyturnError `busy` when the queue is full
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.take();
    try {
      return await work();
    } finally {
      this.giveBack();
    }
  }

  private async take(): Promise<void> {
    if (this.running < this.concurrency) {
      this.running++;
      return;
    }
    if (this.waiting.length >= this.queue) {
      throw new KeyturnError('busy', 'The server is busy. Please try again in a moment.', { retryAfter: 1 });
    }
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private giveBack(): void {
    // Handed on rather than freed, so that a newcomer cannot overtake those who wait.
    const next = this.waiting.shift();
    if (next) next();
    else this.running--;
  }
}
