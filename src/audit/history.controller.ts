import { Controller, Get, Header, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { Public, Roles } from '../common/access.js';
import { KeyturnError } from '../common/errors.js';
import { Documented } from '../common/http/documented.js';
import { CheckpointSigner } from './checkpoint-signer.js';
import { HistoryStore, type HistoryVerdict, type KeyEvent, type SignedHead } from './history-store.js';
import { historyQuery, historyVerdict, keyEvents, signedHead } from './history.schemas.js';

const PAGE = 100;

/** The history, for administrators and auditors; its signed head, for everybody. */
@ApiTags('history')
@Roles('admin', 'auditor')
@Controller()
export class HistoryController {
  constructor(
    private readonly store: HistoryStore,
    private readonly signer: CheckpointSigner,
  ) {}

  /** Key events, oldest first. `next` is the `after` of the next page; null: there was no more. */
  @Documented('Key events, oldest first', { 200: keyEvents })
  @Get('keys/history')
  @Header('cache-control', 'no-store')
  async keyHistory(
    @Query({ schema: historyQuery }) { after = 0, limit = PAGE }: z.output<typeof historyQuery>,
  ): Promise<{ events: KeyEvent[]; next: number | null }> {
    const events = await this.store.keyEvents(after, limit);
    return { events, next: events.length < limit ? null : (events.at(-1)?.seq ?? null) };
  }

  /** Computes every hash and every fold again: seconds, for a long history. One at a time; who comes meanwhile is told to come again. */
  @Documented('Proves the history: computes every hash and every fold again', { 200: historyVerdict }, 'busy')
  @Get('history/verify')
  @Header('cache-control', 'no-store')
  verify(): Promise<HistoryVerdict> {
    return this.store.verify();
  }

  /** The newest signed head. Keep a copy where nobody who can write to the database can reach it. */
  @Documented('The newest signed head of the history', { 200: signedHead }, 'not_found')
  @Public()
  @Get('history/checkpoint')
  @Header('cache-control', 'no-store')
  checkpoint(): SignedHead {
    const newest = this.signer.newest;
    if (!newest) throw new KeyturnError('not_found', 'No head of the history has been signed yet.');
    return newest;
  }
}
