import { signatureProblem, type Checkpoint } from './checkpoint.js';
import type { Misfit } from './fold-history.js';
import type { ChainRow, Facts } from './history-entry.js';

/** A row of `audit.checkpoints`; `content` is undefined when its text is no checkpoint. */
export interface StoredCheckpoint {
  readonly seq: number;
  readonly hash: string;
  readonly content: Checkpoint | undefined;
}

interface Judged {
  readonly seq: number;
  readonly hash: string;
  readonly isCheckpoint: boolean;
  readonly problem: string | undefined;
}

/** Holds checkpoints against the rows that they were signed over: both come by seq, and neither is kept. */
export class SignedRows {
  seen = 0;
  /** Where the first checkpoint does not fit, of those so far. */
  misfit: Misfit | undefined;
  private readonly points: AsyncIterator<Judged>;
  private next: IteratorResult<Judged> | undefined;

  /**
   * @param name what a message calls one of them
   * @param signers facts of signing keys by kid, each parsed once
   */
  constructor(
    private readonly name: string,
    batches: AsyncIterable<readonly StoredCheckpoint[]> | Iterable<readonly StoredCheckpoint[]>,
    signers: ReadonlyMap<unknown, Facts>,
  ) {
    this.points = judged(batches, signers);
  }

  async pass({ seq, hash }: Pick<ChainRow, 'seq' | 'hash'>): Promise<void> {
    await this.compareUpTo(seq, hash);
  }

  /** There is no further row. */
  async end(): Promise<void> {
    await this.compareUpTo(Infinity, undefined);
  }

  private async compareUpTo(seq: number, hash: string | undefined): Promise<void> {
    this.next ??= await this.points.next();
    while (!this.next.done && this.next.value.seq <= seq) {
      const point = this.next.value;
      const problem = this.problemOf(point, point.seq === seq ? hash : undefined);
      if (problem !== undefined) this.misfit ??= { seq: point.seq, problem };
      this.seen += 1;
      this.next = await this.points.next();
    }
  }

  private problemOf({ seq, hash, isCheckpoint, problem }: Judged, is: string | undefined): string | undefined {
    if (!isCheckpoint) return `${this.name} over row ${seq} is none`;
    if (is === undefined) return `row ${seq} is missing, but ${this.name} was signed over it: the end was cut off`;
    if (is !== hash)
      return `row ${seq} is not what ${this.name} was signed over: history was rewritten there or before`;
    return problem === undefined ? undefined : `${this.name} over row ${seq} cannot be believed: ${problem}`;
  }
}

/** Verifies signatures, as many at once as come together. */
async function* judged(
  batches: AsyncIterable<readonly StoredCheckpoint[]> | Iterable<readonly StoredCheckpoint[]>,
  signers: ReadonlyMap<unknown, Facts>,
): AsyncGenerator<Judged, undefined> {
  for await (const batch of batches) {
    yield* await Promise.all(
      batch.map(async ({ seq, hash, content }) => ({
        seq,
        hash,
        isCheckpoint: content?.seq === seq && content.hash === hash,
        problem: content && (await signatureProblem(content, signers.get(content.kid))),
      })),
    );
  }
  return undefined;
}
