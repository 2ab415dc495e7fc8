import { randomBytes } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { KeyturnError } from '../../common/errors.js';
import { Tally } from '../../common/tally.js';
import { inChange } from '../../database/change.js';
import { OF_THIS_INCARNATION } from '../../database/incarnation.js';
import { asKeyturnError } from '../../database/unavailable.js';
import { setPassword } from '../../users/user-changes.js';
import { UsersService } from '../../users/users.service.js';
import type { Attempt } from '../login-history/attempt.js';
import { LoginHistory } from '../login-history/login-history.js';
import { UserSessions } from '../session/user-sessions.js';
import { hashOfCode, voidCodesOf } from './user-codes.js';

export const SETUP_CODE_LIFE_MS = 30 * 60_000;

/** What a code is for. */
export type Purpose = 'setup' | 'invitation' | 'reset';

const ANY: readonly Purpose[] = ['setup', 'invitation', 'reset'];

/** A code that works. */
export interface GoodCode {
  readonly purpose: Purpose;
  /** Whose password it sets; null: it makes the first administrator. */
  readonly username: string | null;
}

interface Redeemable extends GoodCode {
  readonly userId: string | null;
}

const noSuchCode = (): KeyturnError =>
  new KeyturnError('invalid_code', 'This code is not valid, or no longer. Ask for a new one.');

/** Codes that work once and not for long. Only their hash is stored. */
@Injectable()
export class OneTimeCodes {
  private readonly logger = new Logger('Codes');

  constructor(
    private readonly dataSource: DataSource,
    private readonly users: UsersService,
    private readonly sessions: UserSessions,
    private readonly history: LoginHistory,
    private readonly tally: Tally,
  ) {}

  /** A code that makes the first administrator: all of them are worthless once there is one, and then this is undefined. */
  async issueSetupCode(): Promise<string | undefined> {
    if (await this.users.hasAdministrator()) return undefined;
    const code = randomBytes(24).toString('base64url');
    await inChange(this.dataSource, {}, async (manager) => {
      await manager.query(
        `INSERT INTO keyturn.one_time_codes (code_hash, purpose, expires_at)
         VALUES ($1, 'setup', keyturn.clock() + make_interval(secs => $2))`,
        [hashOfCode(code), SETUP_CODE_LIFE_MS / 1_000],
      );
    });
    return code;
  }

  /** What this code would do now, if it is for one of these purposes. Spends nothing. */
  look(code: string, purposes: readonly Purpose[]): Promise<GoodCode | undefined> {
    return this.find(code, purposes);
  }

  /**
   * Spends a code: makes the first administrator, or sets the password of the user it was made for. The login history has it.
   * @param device where the code comes from
   * @param purposes what the code may be for; another one is as good as none
   * @throws KeyturnError `invalid_code`, `password_rejected`, `username_taken`, `validation_failed`, `database_unavailable`
   */
  async redeem(
    device: Attempt,
    form: { readonly code: string; readonly username?: string | undefined; readonly password: string },
    purposes: readonly Purpose[] = ANY,
  ): Promise<void> {
    try {
      await this.spendAndSet(device.requestId, form, purposes);
    } catch (error) {
      if (error instanceof KeyturnError && error.code === 'invalid_code') {
        this.tally.count('redemptions', 'refused');
        this.logger.log({ message: 'code refused', requestId: device.requestId });
      }
      throw error;
    }
    this.tally.count('redemptions', 'success');
    this.logger.log({ message: 'code redeemed', requestId: device.requestId });
    await this.history.recordRedemption(form.code, { ...device, username: form.username });
  }

  private async spendAndSet(
    requestId: string | undefined,
    { code, username, password }: Parameters<OneTimeCodes['redeem']>[1],
    purposes: readonly Purpose[],
  ): Promise<void> {
    // The policy and the costly hash come before the code is spent, and only for a code that is good.
    const found = await this.find(code, purposes);
    if (!found) throw noSuchCode();
    const name = found.username ?? username;
    if (name === undefined) {
      throw new KeyturnError('validation_failed', 'Choose a username.', {
        fields: [{ field: 'username', problem: 'is missing' }],
      });
    }
    const passwordHash = await this.users.hashNew(password, name);
    const { userId } = found;
    // Whoever has the code speaks for the user that it was made for.
    const ended = await inChange(this.dataSource, { requestId, userId: userId ?? undefined }, async (manager) => {
      await spend(manager, code);
      if (userId !== null) return this.setPassword(manager, userId, passwordHash);
      await this.makeFirstAdministrator(manager, name, passwordHash);
      return [];
    });
    this.sessions.forget(ended);
  }

  /** A new password ends every session that the old one began, and every other code. Returns the sessions. */
  private async setPassword(manager: EntityManager, userId: string, passwordHash: string): Promise<readonly string[]> {
    await setPassword(manager, userId, passwordHash);
    await voidCodesOf(manager, userId);
    return this.sessions.endAllWithin(manager, userId, 'password_changed');
  }

  private async makeFirstAdministrator(manager: EntityManager, username: string, passwordHash: string): Promise<void> {
    if (!(await this.users.insertFirstAdministrator(manager, username, passwordHash))) throw noSuchCode();
    // Every server that started over the empty database printed one.
    await manager.query(
      "UPDATE keyturn.one_time_codes SET redeemed_at = keyturn.clock() WHERE purpose = 'setup' AND redeemed_at IS NULL",
    );
  }

  private async find(code: string, purposes: readonly Purpose[]): Promise<Redeemable | undefined> {
    try {
      const [row] = await this.dataSource.query<
        { purpose: Purpose; user_id: string | null; username: string | null }[]
      >(
        `SELECT c.purpose, c.user_id, u.username FROM keyturn.one_time_codes c LEFT JOIN keyturn.users u ON u.id = c.user_id
         WHERE c.code_hash = $1 AND c.redeemed_at IS NULL AND c.expires_at > keyturn.clock() AND c.${OF_THIS_INCARNATION}
           AND u.disabled_at IS NULL`,
        [hashOfCode(code)],
      );
      if (!row || !purposes.includes(row.purpose) || (row.purpose === 'setup' && (await this.users.hasAdministrator())))
        return undefined;
      return { purpose: row.purpose, userId: row.user_id, username: row.username };
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}

/** @throws KeyturnError `invalid_code` when somebody else was faster */
async function spend(manager: EntityManager, code: string): Promise<void> {
  const [, spent] = await manager.query<[unknown, number]>(
    `UPDATE keyturn.one_time_codes SET redeemed_at = keyturn.clock()
     WHERE code_hash = $1 AND redeemed_at IS NULL AND expires_at > keyturn.clock() AND ${OF_THIS_INCARNATION}`,
    [hashOfCode(code)],
  );
  if (spent !== 1) throw noSuchCode();
}
