import { randomBytes, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { foldedName } from './folded-name.js';
import { KeyedHash } from './keyed-hash.js';

const ID_BYTES = 16;

/**
 * Tokens that say "somebody has logged in with this name on this device" (OWASP, device cookies). They let nobody in: their bearer has
 * attempts of its own, which no stranger can use up. The name is not in them.
 */
@Injectable()
export class KnownDevices {
  constructor(private readonly hash: KeyedHash) {}

  /** A token for a device on which `username` has just logged in; the one that it has, if that is good. */
  async issue(username: string, token: string | undefined): Promise<string> {
    if (token !== undefined && (await this.find(username, token)) !== undefined) return token;
    const id = randomBytes(ID_BYTES);
    return Buffer.concat([id, await this.proof(username, id)]).toString('base64url');
  }

  /** The id of the device, if somebody has logged in there with this name; undefined when it is a stranger's. */
  async find(username: string, token: string | undefined): Promise<string | undefined> {
    const bytes = Buffer.from(token ?? '', 'base64url');
    const id = bytes.subarray(0, ID_BYTES);
    const proof = await this.proof(username, id);
    const given = bytes.subarray(ID_BYTES);
    return given.length === proof.length && timingSafeEqual(given, proof) ? id.toString('base64url') : undefined;
  }

  private proof(username: string, id: Buffer): Promise<Buffer> {
    return this.hash.of('known device', foldedName(username), id.toString('base64url'));
  }
}
