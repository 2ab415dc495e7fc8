import { Module } from '@nestjs/common';
import { KeysModule } from '../keys/keys.module.js';
import { CheckpointSigner } from './checkpoint-signer.js';
import { HistoryStore } from './history-store.js';
import { HistoryController } from './history.controller.js';

/** The history of keys and users: read, proven, and its head signed. */
@Module({
  imports: [KeysModule],
  controllers: [HistoryController],
  providers: [HistoryStore, CheckpointSigner],
  exports: [CheckpointSigner],
})
export class AuditModule {}
