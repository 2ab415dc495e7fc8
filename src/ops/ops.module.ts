import { Module } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { KeysModule } from '../keys/keys.module.js';
import { Draining, HealthController } from './health.controller.js';
import { MetricsListener } from './metrics-listener.js';
import { MetricsController } from './metrics.controller.js';
import { Metrics } from './metrics.js';

/** What an operator looks at. */
@Module({
  imports: [KeysModule, AuditModule],
  controllers: [HealthController, MetricsController],
  providers: [Draining, Metrics, MetricsListener],
})
export class OpsModule {}
