import { Controller, Get, Header, HttpCode, Inject, Injectable, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CheckpointSigner } from '../audit/checkpoint-signer.js';
import { Public } from '../common/access.js';
import { Documented } from '../common/http/documented.js';
import { CONFIG, type Config } from '../config/config.js';
import { DatabaseClock } from '../database/database-clock.js';
import { Reconciliation } from '../keys/operations/reconciliation.js';
import { shutStandby } from '../keys/planning/plan-keys.js';
import { KeyRefresh } from '../keys/ring/key-refresh.js';
import { KeyRing } from '../keys/ring/key-ring.js';
import { LocalKeyVault } from '../keys/vault/local-key-vault.js';
import { liveness, readiness, type Readiness } from './health.schemas.js';

interface Reply {
  status(code: number): unknown;
}

/** Is this server on its way out? A balancer should hear of it before the listener closes. */
@Injectable()
export class Draining {
  begun = false;
}

@ApiTags('operations')
@Public()
@Controller('health')
export class HealthController {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: DatabaseClock,
    private readonly ring: KeyRing,
    private readonly refresh: KeyRefresh,
    private readonly vault: LocalKeyVault,
    private readonly draining: Draining,
    private readonly checkpoints: CheckpointSigner,
    private readonly reconciliation: Reconciliation,
  ) {}

  /** The process answers. */
  @Documented('The process answers', { 200: liveness })
  @Get('live')
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  live(): { status: 'live' } {
    return { status: 'live' };
  }

  /** It can verify tokens, and is not on its way out. */
  @Documented('It can verify tokens, and is not on its way out', { 200: readiness, 503: readiness })
  @Get('ready')
  @Header('cache-control', 'no-store')
  ready(@Res({ passthrough: true }) reply: Reply): Readiness {
    const cutOff = this.clock.silence() > this.config.keys.offlineLimit;
    const ready = !cutOff && this.ring.generation > 0 && !this.draining.begun;
    reply.status(ready ? 200 : 503);
    return {
      status: ready ? 'ready' : 'not_ready',
      problems: this.problems(cutOff),
      signer: this.ring.signer()?.kid ?? null,
      standby: this.ring.standby()?.kid ?? null,
      generation: this.ring.generation,
    };
  }

  private problems(cutOff: boolean): string[] {
    const [signer, standby] = [this.ring.signer(), this.ring.standby()];
    const { missed } = this.refresh;
    const silence = Math.round(this.clock.silence() / 1_000);
    const said: readonly (readonly [boolean, string])[] = [
      [this.draining.begun, 'The server is stopping.'],
      [
        cutOff,
        `Nothing was heard of the database for ${silence} s: tokens are not verified any more. Look after the database.`,
      ],
      [
        !cutOff && this.clock.silence() > this.config.keys.refreshBound,
        `Nothing was heard of the database for ${silence} s: verifying goes on with what is known. Look after the database.`,
      ],
      [
        this.reconciliation.pending,
        'An older copy of the database was restored and is not reconciled yet: what was revoked since may still be accepted. See the log.',
      ],
      [
        !signer,
        standby
          ? `No key is active: nothing can be signed. If it stays so, ${shutStandby(standby.kid)}.`
          : 'No key is active: nothing can be signed. A server that holds the key-encryption key makes one within a minute.',
      ],
      [!!signer && !standby, 'No standby is published.'],
      [
        missed !== undefined,
        `Keys are known as of event ${this.ring.generation} of the history, and event ${missed} is known of: the newer ones could not be loaded. See the log.`,
      ],
      [this.checkpoints.trouble !== '', `${capital(this.checkpoints.trouble)}.`],
    ];
    const damaged = this.ring
      .damaged()
      .map(({ kid, damage }) => `Key ${kid} cannot be used: ${damage}. If nobody is to mend its row, revoke it.`);
    const unreadable = [...this.vault.unreadable].map(
      ([version, why]) => `The private half of version ${version} cannot be opened: ${why}. Check KEK_FILE.`,
    );
    return [...said.filter(([holds]) => holds).map(([, words]) => words), ...damaged, ...unreadable];
  }
}

const capital = (sentence: string): string => sentence.slice(0, 1).toUpperCase() + sentence.slice(1);
