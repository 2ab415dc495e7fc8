import { Body, Controller, Get, HttpCode, Inject, Logger, Param, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, FreshLogin, Roles, type AuthenticatedUser } from '../../common/access.js';
import { Documented } from '../../common/http/documented.js';
import { iso } from '../../common/iso.js';
import { Tally } from '../../common/tally.js';
import { KeyturnError } from '../../common/errors.js';
import { CONFIG, type Config } from '../../config/config.js';
import { ConfigError, readAssignment, withSettings } from '../../config/load-config.js';
import type { Actor } from '../../database/change.js';
import { tryOut, type Forecast } from '../planning/forecast.js';
import { KeyReplacement, type Source } from '../operations/key-replacement.js';
import { KeyRotation } from '../operations/key-rotation.js';
import { viewKey, type KeyView } from './key-view.js';
import {
  keyList,
  keyPlan,
  kidParam,
  planQuery,
  receipt,
  renewBody,
  replaced,
  replaceStandbyBody,
  revokeBody,
  rotateBody,
  rotated,
} from './keys.schemas.js';
import { receiptOf, type Receipt } from './receipt.js';
import { SigningKeyStore } from '../store/signing-key-store.js';

type ForecastView = Omit<Forecast, 'at'> & { readonly at: string };

interface ReplacementView {
  readonly displaced: string | null;
  readonly standby: string;
  readonly takesOverAt: string;
}

/** The ring, for administrators. The same use-cases as the command line. */
@ApiTags('keys')
@Roles('admin')
@Controller('keys')
export class KeysController {
  private readonly logger = new Logger('Keys');

  constructor(
    private readonly store: SigningKeyStore,
    private readonly rotation: KeyRotation,
    private readonly replacement: KeyReplacement,
    @Inject(CONFIG) private readonly config: Config,
    private readonly tally: Tally,
  ) {}

  @Documented('Every key and its state', { 200: keyList })
  @Get()
  async list(): Promise<{ keys: KeyView[] }> {
    const { keys, now } = await this.store.all();
    return { keys: keys.map((key) => viewKey(key, now)) };
  }

  @Documented(
    'Lets the standby take over now. Tokens of the key before it stay good until they expire',
    { 200: rotated },
    'key_change_refused',
    'standby_too_young',
    'version_conflict',
  )
  @Post('rotate')
  @HttpCode(200)
  @FreshLogin()
  async rotate(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { id: string },
    @Body({ schema: rotateBody }) body: z.output<typeof rotateBody>,
  ): Promise<{ retired: string | null; activated: string; forced: boolean; at: string }> {
    const actor = { userId: user.id, reason: body.reason, requestId: request.id };
    const { at, retired, activated, forced } = await this.rotation.rotate(actor, body);
    this.note('key rotated', activated.kid, actor);
    return { retired: retired?.kid ?? null, activated: activated.kid, forced, at: iso(at) };
  }

  @Documented(
    'What is due when, if nobody interferes; with `set`, as it would be under other settings',
    { 200: keyPlan },
    'setting_refused',
  )
  @Get('plan')
  async plan(
    @Query({ schema: planQuery }) { for: horizon, set = [] }: z.output<typeof planQuery>,
  ): Promise<{ events: ForecastView[] }> {
    const { keys, now } = await this.store.all();
    const { events } = tryOut(keys, asIf(this.config, [set].flat()), now, now + horizon);
    return { events: events.map((event) => ({ ...event, at: iso(event.at) })) };
  }

  @Documented('Puts a new pair in the standby’s place', { 200: replaced }, 'key_change_refused', 'version_conflict')
  @Post('replace-standby')
  @HttpCode(200)
  @FreshLogin()
  replaceStandby(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { id: string },
    @Body({ schema: replaceStandbyBody }) body: z.output<typeof replaceStandbyBody>,
  ): Promise<ReplacementView> {
    return this.replace(
      'standby replaced',
      { userId: user.id, reason: body.reason, requestId: request.id },
      { is: 'generated', algorithm: body.algorithm },
    );
  }

  @Documented(
    'Carries the active pair on under a new version, in the standby’s place',
    { 200: replaced },
    'key_change_refused',
    'version_conflict',
  )
  @Post('renew')
  @HttpCode(200)
  @FreshLogin()
  renew(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { id: string },
    @Body({ schema: renewBody }) body: z.output<typeof renewBody>,
  ): Promise<ReplacementView> {
    const actor = { userId: user.id, reason: body.reason, requestId: request.id };
    return this.replace('key renewed', actor, { is: 'renewed' });
  }

  private async replace(what: string, actor: Actor, source: Source): Promise<ReplacementView> {
    const { displaced, standby, takesOverAt } = await this.replacement.replaceStandby(actor, source);
    this.note(what, standby, actor);
    return { displaced: displaced?.kid ?? null, standby, takesOverAt: iso(takesOverAt) };
  }

  @Documented(
    'Ends a key for good: its tokens are refused everywhere within a second',
    { 200: receipt },
    'not_found',
    'key_change_refused',
  )
  @Post(':kid/revoke')
  @HttpCode(200)
  @FreshLogin()
  async revoke(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { id: string },
    @Param('kid', { schema: kidParam }) kid: string,
    @Body({ schema: revokeBody }) body: z.output<typeof revokeBody>,
  ): Promise<Receipt> {
    const actor = { userId: user.id, requestId: request.id };
    const outcome = await this.rotation.revoke(actor, kid, body.reason);
    this.note('key revoked', kid, actor);
    return receiptOf(outcome, this.config.keys);
  }

  private note(message: string, kid: string, { userId: by, requestId }: Actor): void {
    this.tally.count('administration', message);
    this.logger.log({ message, kid, by, requestId });
  }
}

/** The configuration as if these `NAME=value` were set. @throws KeyturnError `validation_failed` with every rule that they break */
function asIf(config: Config, assignments: readonly string[]): Config {
  if (assignments.length === 0) return config;
  try {
    return withSettings(config, Object.fromEntries(assignments.flatMap((text) => [readAssignment(text) ?? []])));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const fields = error.problems.map((problem) => ({ field: 'set', problem }));
    throw new KeyturnError('validation_failed', 'These settings cannot be used.', { fields }, { cause: error });
  }
}
