import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { DatabaseClock } from '../database/database-clock.js';
import { News } from '../database/news.js';
import { KeyRing } from '../keys/ring/key-ring.js';
import { isHmac } from '../keys/signing-key.js';
import { KeyVault } from '../keys/vault/key-vault.js';
import { CHECKPOINT_TYP } from './checkpoint.js';
import { HistoryStore, type HistoryHead, type SignedHead } from './history-store.js';

/**
 * Signs the head of history soon after each event, and writes it to the log: whoever can rewrite the database cannot sign, and cannot
 * take back what was logged or fetched. Never stands in the way of the news.
 */
@Injectable()
export class CheckpointSigner implements OnApplicationBootstrap {
  private readonly logger = new Logger('History');
  /** seq of the head that was dealt with. */
  private settled = 0;
  private complaint = '';
  private alarm = '';
  private newestSigned: SignedHead | undefined;
  private newestHead: HistoryHead | undefined;

  constructor(
    private readonly store: HistoryStore,
    private readonly vault: KeyVault,
    private readonly ring: KeyRing,
    private readonly clock: DatabaseClock,
    private readonly news: News,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.news.subscribe(async ({ headSeq, rewound }) => {
      if (rewound) this.logger.error(`history is not the one that it was: it ends at row ${headSeq}`);
      if (rewound || headSeq !== this.settled) await this.signHead(rewound ? 0 : this.newestSigned?.seq);
    });
    await this.signHead();
  }

  /** The newest signed head that this server knows of: at most one poll old. */
  get newest(): SignedHead | undefined {
    return this.newestSigned;
  }

  /** The newest row that this server knows of. */
  get head(): HistoryHead | undefined {
    return this.newestHead;
  }

  /** What was signed and is not there any more, or why the head is not signed: a sentence for a person, '' when all is well. */
  get trouble(): string {
    return this.alarm || this.complaint;
  }

  /** @param since seq of the oldest checkpoint that is held against the history */
  private async signHead(since = 0): Promise<void> {
    try {
      const lost = await this.store.lostCheckpoint(since);
      if (lost) this.raiseAlarm(lost);
      // In this order: a head is never older than what was signed before it was read.
      this.newestSigned = await this.store.newestCheckpoint();
      const head = await this.store.head();
      this.newestHead = head;
      if (head && (await this.settle(head))) this.settled = head.seq;
    } catch (error) {
      const why = error instanceof Error ? error.message.replace(/\.$/, '') : 'unknown error';
      this.complain(`history is not signed: ${why}`);
    }
  }

  /** @returns whether all was done that can be; otherwise it is tried again */
  private async settle(head: HistoryHead): Promise<boolean> {
    const signed = this.newestSigned;
    if (!signed || signed.seq < head.seq) return this.sign(head);
    this.complaint = '';
    return true;
  }

  private async sign(head: HistoryHead): Promise<boolean> {
    const signer = this.ring.signer();
    if (!signer) {
      this.complain('history is not signed: no key is active');
      return false;
    }
    if (isHmac(signer.algorithm)) {
      this.complain(
        `history is not signed: ${signer.kid} is an ${signer.algorithm} key, which nobody else could verify with`,
      );
      this.logger.log(`history ends at ${inWords(head)}, unsigned`);
      return true;
    }
    const claims = { ...head, iat: Math.floor(this.clock.now() / 1_000) };
    await this.store.addCheckpoint(await this.vault.sign(signer, claims, CHECKPOINT_TYP));
    // Ours, or that of the server that was faster.
    this.newestSigned = await this.store.newestCheckpoint();
    this.logger.log(`history ends at ${inWords(head)}, signed`);
    this.complaint = '';
    return true;
  }

  /** Once, until it changes. */
  private complain(complaint: string): void {
    if (complaint !== this.complaint) this.logger.warn(complaint);
    this.complaint = complaint;
  }

  /** For a person, and for good: later heads are signed, and make nothing of it undone. */
  private raiseAlarm(lost: HistoryHead): void {
    const alarm = `${inWords(lost)} was signed and is not in the history: it was rewritten or cut off. Look with: keyturn audit verify`;
    if (alarm !== this.alarm) this.logger.error(alarm);
    this.alarm = alarm;
  }
}

const inWords = ({ seq, hash }: HistoryHead): string => `row ${seq} with hash ${hash}`;
