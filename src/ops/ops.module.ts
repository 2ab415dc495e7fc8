import { Module } from '@nestjs/common';
import { KeysModule } from '../keys/keys.module.js';
import { Draining, HealthController } from './health.controller.js';

/** What an operator looks at. */
@Module({ imports: [KeysModule], controllers: [HealthController], providers: [Draining] })
export class OpsModule {}
