import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry } from 'prom-client';
import { CheckpointSigner } from '../audit/checkpoint-signer.js';
import { ERROR_STATUS } from '../common/errors.js';
import { Tally, type Counted } from '../common/tally.js';
import { DatabaseClock } from '../database/database-clock.js';
import { KeyRing } from '../keys/ring/key-ring.js';
import { LocalKeyVault } from '../keys/vault/local-key-vault.js';

interface CounterShown {
  readonly what: keyof Counted;
  readonly name: string;
  readonly help: string;
  readonly label?: string;
  readonly from: readonly string[];
}

/** How what is counted is shown. Those in `from` stand there as 0 before they happen, so that an alert sees the first one. */
const COUNTERS: readonly CounterShown[] = [
  {
    what: 'logins',
    name: 'keyturn_logins_total',
    help: 'Logins by outcome, as keyturn.login_events names them.',
    label: 'outcome',
    from: ['success', 'wrong_password', 'unknown_user', 'disabled', 'throttled'],
  },
  {
    what: 'refreshes',
    name: 'keyturn_refreshes_total',
    help: 'Uses of refresh tokens. reused: a spent one came back after its grace, and its session was ended.',
    label: 'outcome',
    from: ['success', 'retried', 'reused', 'refused'],
  },
  {
    what: 'redemptions',
    name: 'keyturn_code_redemptions_total',
    help: 'One-time codes that set a password, or were refused.',
    label: 'outcome',
    from: ['success', 'refused'],
  },
  {
    what: 'passwordChanges',
    name: 'keyturn_password_changes_total',
    help: 'Changes of one’s own password. wrong_password, throttled: somebody with a session guesses at the current one.',
    label: 'outcome',
    from: ['success', 'wrong_password', 'throttled'],
  },
  {
    what: 'tokenRefusals',
    name: 'keyturn_token_refusals_total',
    help: 'Access tokens that the guard did not accept, by reason.',
    label: 'reason',
    from: ['expired', 'session', 'user_changed', 'unknown_kid', 'key_not_good', 'signature'],
  },
  {
    what: 'administration',
    name: 'keyturn_administration_total',
    help: 'Acts upon keys, users and sessions asked for over HTTP here. Acts by hand and by command line are in the history.',
    label: 'act',
    from: ['key rotated', 'key revoked', 'user created', 'user disabled', 'user reset'],
  },
  {
    what: 'unknownKidRefreshes',
    name: 'keyturn_unknown_kid_refreshes_total',
    help: 'Looks into the database for a kid that was not known: at most one a second.',
    from: ['done'],
  },
  {
    what: 'problems',
    name: 'keyturn_problems_total',
    help: 'Answers that were a problem (RFC 9457), by code.',
    label: 'code',
    from: Object.keys(ERROR_STATUS),
  },
];

const truth = (holds: boolean): number => (holds ? 1 : 0);

/** What Prometheus reads of this server. Labels are words of ours: never a kid, a user or an address. */
@Injectable()
export class Metrics {
  private readonly registry = new Registry();
  readonly contentType = this.registry.contentType;

  constructor(
    private readonly tally: Tally,
    private readonly ring: KeyRing,
    private readonly vault: LocalKeyVault,
    private readonly clock: DatabaseClock,
    private readonly checkpoints: CheckpointSigner,
  ) {
    for (const shown of COUNTERS) this.counter(shown);
    this.keys();
    this.history();
    this.process();
  }

  /** In Prometheus' text format. */
  read(): Promise<string> {
    return this.registry.metrics();
  }

  private keys(): void {
    this.gauge(
      'keyturn_signing_seconds_left',
      'Seconds until no key is active that this server can sign with; +Inf while none is in sight, 0 now.',
      () => this.signingSecondsLeft(),
    );
    this.gauge('keyturn_signing_key_age_seconds', 'How long the active key has been signing; NaN: none is.', () =>
      this.since(this.ring.signer()?.activatesAt),
    );
    this.gauge(
      'keyturn_takeover_seconds',
      'Seconds until the standby takes over; NaN: there is none.',
      () => -this.since(this.ring.standby()?.activatesAt),
    );
    this.gauge('keyturn_standby_published', '1: a standby is published; 0: rotation has no successor.', () =>
      truth(this.ring.standby() !== undefined),
    );
    this.gauge(
      'keyturn_private_halves_unreadable',
      'Private halves that this server cannot open.',
      () => this.vault.unreadable.size,
    );
    this.gauge(
      'keyturn_keys_damaged',
      'Keys whose row is damaged: nothing is verified with them.',
      () => this.ring.damaged().length,
    );
    this.gauge(
      'keyturn_key_generation',
      'Number of the newest key event that this server knows. Servers agree within a second.',
      () => this.ring.generation,
    );
  }

  private history(): void {
    this.gauge('keyturn_history_head', 'Number of the newest row of history.', () => this.checkpoints.head?.seq ?? 0);
    this.gauge(
      'keyturn_history_unsigned_rows',
      'Rows of history after the newest signed checkpoint.',
      () => (this.checkpoints.head?.seq ?? 0) - (this.checkpoints.newest?.seq ?? 0),
    );
    this.gauge(
      'keyturn_history_trouble',
      '1: the head of history is not signed, or is not what was signed; /health/ready says why.',
      () => truth(this.checkpoints.trouble !== ''),
    );
    this.gauge(
      'keyturn_database_silence_seconds',
      'Seconds since the database last answered the poll.',
      () => this.clock.silence() / 1_000,
    );
    this.gauge(
      'keyturn_clock_ahead_seconds',
      "How far this machine's clock is ahead of the database's, which is the one that counts.",
      () => this.clock.wallClockAhead() / 1_000,
    );
  }

  private process(): void {
    this.gauge(
      'process_start_time_seconds',
      'When the process started, in seconds since 1970.',
      () => performance.timeOrigin / 1_000,
    );
    this.gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
    this.gauge('process_cpu_seconds_total', 'Processor time used, of user and system.', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
  }

  private signingSecondsLeft(): number {
    const [signer, standby] = [this.ring.signer(), this.ring.standby()];
    if (!signer || !this.vault.opens(signer.version)) return 0;
    if (signer.retiresAt === null || (standby && this.vault.opens(standby.version))) return Infinity;
    return -this.since(signer.retiresAt);
  }

  /** Seconds since an instant, by the database's clock. */
  private since(instant: number | undefined): number {
    return instant === undefined ? NaN : (this.clock.now() - instant) / 1_000;
  }

  private gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [], collect: () => gauge.set(read()) });
    this.registry.registerMetric(gauge);
  }

  private counter({ what, name, help, label, from }: CounterShown): void {
    const collect = (): void => {
      const counts = this.tally.of(what);
      counter.reset();
      for (const kind of new Set([...from, ...counts.keys()]))
        counter.inc(label === undefined ? {} : { [label]: kind }, counts.get(kind) ?? 0);
    };
    const labelNames = label === undefined ? [] : [label];
    const counter: Counter = new Counter({ name, help, labelNames, registers: [], collect });
    this.registry.registerMetric(counter);
  }
}
