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
  private newestSigned: SignedHead | undefined;

  constructor(
    private readonly store: HistoryStore,
    private readonly vault: KeyVault,
    private readonly ring: KeyRing,
    private readonly clock: DatabaseClock,
    private readonly news: News,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.news.subscribe(async ({ headSeq, rewound }) => {
      if (rewound) this.logger.error(`history is shorter than it was: it ends at row ${headSeq}`);
      if (headSeq !== this.settled) await this.signHead();
    });
    await this.signHead();
  }

  /** The newest signed head that this server knows of: at most one poll old. */
  get newest(): SignedHead | undefined {
    return this.newestSigned;
  }

  private async signHead(): Promise<void> {
    try {
      // In this order: a head is never older than what was signed before it was read.
      this.newestSigned = await this.store.newestCheckpoint();
      const head = await this.store.head();
      if (head && (!this.isNews(head) || (await this.sign(head)))) this.settled = head.seq;
    } catch (error) {
      this.complain(error instanceof Error ? error.message : 'unknown error');
    }
  }

  /** @returns whether all was done that can be; otherwise it is tried again */
  private async sign(head: HistoryHead): Promise<boolean> {
    const where = `history ends at row ${head.seq} with hash ${head.hash}`;
    const signer = this.ring.signer();
    if (!signer) {
      this.complain(`no key is active; ${where}`);
      return false;
    }
    if (isHmac(signer.algorithm)) {
      this.complain(`${signer.kid} is an ${signer.algorithm} key, which nobody else could verify with`);
      this.logger.log(`${where}, unsigned`);
      return true;
    }
    const claims = { ...head, iat: Math.floor(this.clock.now() / 1_000) };
    await this.store.addCheckpoint(await this.vault.sign(claims, CHECKPOINT_TYP));
    // Ours, or that of the server that was faster.
    this.newestSigned = await this.store.newestCheckpoint();
    this.logger.log(`${where}, signed: ${this.newestSigned?.jws ?? ''}`);
    this.complaint = '';
    return true;
  }

  /** Is it newer than what was signed last? A signed head that is not there any more is a matter for a person. */
  private isNews({ seq, hash }: HistoryHead): boolean {
    const signed = this.newestSigned;
    if (!signed || signed.seq < seq) return true;
    if (signed.seq > seq || signed.hash !== hash) {
      this.logger.error(
        `history ends at row ${seq} with hash ${hash}, but row ${signed.seq} with hash ${signed.hash} was signed: it was rewritten or cut off. Look with: keyturn audit verify`,
      );
    }
    return false;
  }

  /** Once, until it changes. */
  private complain(complaint: string): void {
    if (complaint !== this.complaint) this.logger.warn(`no checkpoint of history: ${complaint}`);
    this.complaint = complaint;
  }
}
