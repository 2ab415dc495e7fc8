import { createHash } from 'node:crypto';
import { Controller, Get, Header, Headers, Inject, Res } from '@nestjs/common';
import { ApiProduces, ApiTags } from '@nestjs/swagger';
import type { JSONWebKeySet } from 'jose';
import { Public } from '../../common/access.js';
import { Documented } from '../../common/http/documented.js';
import { CONFIG, type Config } from '../../config/config.js';
import { publicMembers } from '../key-material.js';
import { keySet } from './keys.schemas.js';
import { KeyRefresh } from '../ring/key-refresh.js';
import type { RingKey } from '../ring/key-ring.js';

/** The part of a Fastify reply that a 304 needs. */
interface Reply {
  header(name: string, value: string): unknown;
  status(code: number): unknown;
}

/** The public keys (RFC 7517), from memory: pending, active and retiring ones, HMAC never. */
@ApiTags('for other services')
@Public()
@Controller('.well-known/jwks.json')
export class JwksController {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly keys: KeyRefresh,
  ) {}

  @Documented('The public keys (RFC 7517)', { 200: keySet, 304: 'empty' }, 'keys_unavailable')
  @ApiProduces('application/jwk-set+json')
  @Get()
  @Header('content-type', 'application/jwk-set+json')
  jwks(
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res({ passthrough: true }) reply: Reply,
  ): JSONWebKeySet | undefined {
    const body: JSONWebKeySet = { keys: this.keys.published().map(publicKey) };
    const etag = `"${createHash('sha256').update(JSON.stringify(body)).digest('base64url').slice(0, 27)}"`;
    reply.header('etag', etag);
    reply.header('cache-control', `public, max-age=${Math.floor(this.config.keys.jwksMaxAge / 1_000)}`);
    if (!matches(ifNoneMatch, etag)) return body;
    reply.status(304);
    return undefined;
  }
}

const publicKey = (key: RingKey) => ({
  ...publicMembers(key.publicJwk ?? {}),
  kid: key.kid,
  alg: key.algorithm,
  use: 'sig',
});

/** RFC 9110 section 13.1.2: a list of tags, weak comparison, or `*`. */
const matches = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch !== undefined &&
  ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
