import { z } from 'zod';

/** What a balancer and an operator want to know of this server. */
export interface Readiness {
  readonly status: 'ready' | 'not_ready';
  /** Sentences for a person; empty when all is well. Trouble with signing alone takes no server out. */
  readonly problems: readonly string[];
  readonly signer: string | null;
  readonly standby: string | null;
  readonly generation: number;
}

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
