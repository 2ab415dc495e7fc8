import { Injectable } from '@nestjs/common';
import type { ErrorCode } from './errors.js';

/** What may be told apart in each thing that is counted: closed lists of our own words, never a name, an address, an id or a kid. */
export interface Counted {
  /** As `keyturn.login_events` names them. */
  readonly logins: 'success' | 'wrong_password' | 'unknown_user' | 'disabled' | 'throttled';
  /** `retried`: the same successor again, within the grace. `reused`: a spent token came back and its session was ended. */
  readonly refreshes: 'success' | 'retried' | 'reused' | 'refused';
  /** A one-time code that set a password, or was none. */
  readonly redemptions: 'success' | 'refused';
  /** Changes of one's own password, by what became of the proof of the current one. */
  readonly passwordChanges: 'success' | 'wrong_password' | 'throttled';
  /** Why the guard did not accept a token: `TokenRefused.reason`, up to a colon. */
  readonly tokenRefusals: string;
  /** An act upon a key or a user that somebody asked for, here. What was done elsewhere or by hand is in history. */
  readonly administration: string;
  /** Looking once more in the database for a kid that was not known. */
  readonly unknownKidRefreshes: 'done';
  /** Answers that were a problem (RFC 9457), by their code. */
  readonly problems: ErrorCode;
}

/** Counts since this process started. Rooms count here; `ops` shows it to Prometheus. Counting never fails and waits for nothing. */
@Injectable()
export class Tally {
  private readonly counts = new Map<keyof Counted, Map<string, number>>();

  count<What extends keyof Counted>(what: What, which: Counted[What]): void {
    let kinds = this.counts.get(what);
    if (!kinds) this.counts.set(what, (kinds = new Map()));
    kinds.set(which, (kinds.get(which) ?? 0) + 1);
  }

  /** What was counted of it so far. */
  of(what: keyof Counted): ReadonlyMap<string, number> {
    return this.counts.get(what) ?? new Map();
  }
}
