import { z } from 'zod';
import type { Readiness } from './health.controller.js';

/** `GET /health/live` */
export const liveness = z.strictObject({ status: z.literal('live') });

/** `GET /health/ready` */
export const readiness: z.ZodType<Readiness> = z
  .strictObject({
    status: z.enum(['ready', 'not_ready']),
    problems: z.array(z.string()).describe('Sentences for a person; empty when all is well.'),
    signer: z.string().nullable(),
    standby: z.string().nullable(),
    generation: z.int().describe('The newest key event that this server knows.'),
  })
  .meta({ id: 'Readiness' });
