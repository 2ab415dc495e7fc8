import { Body, Controller, Get, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentUser, FreshLogin, Roles, type AuthenticatedUser } from '../common/access.js';
import { KeyRotation } from './key-rotation.js';
import { viewKey, type KeyView } from './key-view.js';
import { kidParam, revokeBody, rotateBody } from './keys.schemas.js';
import { SigningKeyStore } from './signing-key-store.js';

/** The ring, for administrators. The same use-cases as the command line. */
@ApiTags('keys')
@ApiBearerAuth()
@Roles('admin')
@Controller('keys')
export class KeysController {
  constructor(
    private readonly store: SigningKeyStore,
    private readonly rotation: KeyRotation,
  ) {}

  @Get()
  async list(): Promise<{ keys: KeyView[] }> {
    const { keys, now } = await this.store.all();
    return { keys: keys.map((key) => viewKey(key, now)) };
  }

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
    return { retired: retired?.kid ?? null, activated: activated.kid, forced, at: new Date(at).toISOString() };
  }

  @Post(':kid/revoke')
  @HttpCode(200)
  @FreshLogin()
  async revoke(
    @CurrentUser() user: AuthenticatedUser,
    @Req() request: { id: string },
    @Param('kid', { schema: kidParam }) kid: string,
    @Body({ schema: revokeBody }) body: z.output<typeof revokeBody>,
  ): Promise<{ revoked: string; signer: string | null; at: string; replicas: { live: number; following: number } }> {
    const { at, revoked, signer, reach } = await this.rotation.revoke(
      { userId: user.id, requestId: request.id },
      kid,
      body.reason,
    );
    return {
      revoked: revoked.kid,
      signer: signer?.kid ?? null,
      at: new Date(at).toISOString(),
      replicas: { ...reach },
    };
  }
}
