import { isUtf8 } from 'node:buffer';
import { hasDuplicateNames, nestsDeeperThan } from './json-duplicates.js';

/** Our own bound; one of our tokens is about 900 bytes. */
const MAX_TOKEN_BYTES = 8192;
/** Our own bound; our tokens nest two deep. */
const MAX_JSON_DEPTH = 32;

const SEGMENTS = 3;
const ALGORITHM = /^(?:RS|PS|ES|HS)(?:256|384|512)$/;
const KID = /^[A-Za-z0-9_-]{1,64}$/;
/** RFC 9068 §4; media types ignore case (RFC 7515 §4.1.9). */
const TYP = /^(?:application\/)?at\+jwt$/i;

export interface AccessTokenHeader {
  readonly alg: string;
  readonly kid: string;
  readonly typ: string;
}

/** RFC 9068 §2.2 and our own `sid`, `ver`. Times are whole seconds since 1970. */
export interface AccessTokenClaims {
  readonly iss: string;
  readonly aud: string | readonly string[];
  readonly sub: string;
  readonly client_id: string;
  readonly iat: number;
  readonly exp: number;
  readonly nbf?: number;
  readonly jti: string;
  readonly sid: string;
  readonly ver: number;
  readonly roles: readonly string[];
  readonly auth_time: number;
}

export interface ParsedAccessToken {
  readonly header: AccessTokenHeader;
  readonly claims: AccessTokenClaims;
}

export type MalformedTokenReason =
  | 'too_long'
  | 'segments'
  | 'base64url'
  | 'utf8'
  | 'too_deep'
  | 'json'
  | 'not_an_object'
  | 'duplicate_name'
  | 'crit'
  | 'forbidden_header'
  | 'typ'
  | 'alg'
  | 'kid'
  | `claim:${keyof AccessTokenClaims}`;

/** Why a token was refused: for `token inspect` and logs, never for the answer over HTTP. Holds nothing of the token. */
export class MalformedToken extends Error {
  override readonly name = 'MalformedToken';

  constructor(readonly reason: MalformedTokenReason) {
    super(`The access token is malformed: ${reason}`);
  }
}

/**
 * The shape of an access token, and nothing about whether it is genuine: the caller still owes the signature, the key's
 * state, the times, issuer, audience and session.
 * @throws MalformedToken
 */
export function parseAccessToken(token: string): ParsedAccessToken {
  // A character outside ASCII is refused as base64url, so characters are bytes here.
  if (token.length > MAX_TOKEN_BYTES) throw new MalformedToken('too_long');
  // Five segments would be a JWE, none a JSON serialisation: refused unopened. The limit keeps 8,000 dots cheap.
  const [header, payload, signature, ...more] = token.split('.', SEGMENTS + 1);
  if (!header || !payload || !signature || more.length > 0) throw new MalformedToken('segments');
  decodeBase64url(signature);
  return { header: readHeader(parseObject(header)), claims: readClaims(parseObject(payload)) };
}

/** An object's own members. A Map, so that `__proto__` is a name like any other and nothing is inherited. */
type Members = ReadonlyMap<string, unknown>;

function parseObject(segment: string): Members {
  const text = decodeUtf8(decodeBase64url(segment));
  if (nestsDeeperThan(text, MAX_JSON_DEPTH)) throw new MalformedToken('too_deep');
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new MalformedToken('not_an_object');
  if (hasDuplicateNames(text)) throw new MalformedToken('duplicate_name');
  return new Map<string, unknown>(Object.entries(value));
}

/**
 * Node's decoder is lenient; encoding again shows padding, whitespace, `+/`, an impossible length and trailing bits that
 * are not zero (RFC 4648 §3.5), each of which would give one token a second spelling.
 */
function decodeBase64url(segment: string): Buffer {
  const bytes = Buffer.from(segment, 'base64url');
  if (bytes.toString('base64url') !== segment) throw new MalformedToken('base64url');
  return bytes;
}

/** A byte order mark stays in the text, where JSON.parse refuses it (RFC 8259 §8.1). */
function decodeUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new MalformedToken('utf8');
  return bytes.toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Its message quotes the text, so it is not kept as the cause.
    throw new MalformedToken('json');
  }
}

/** `alg`, `kid` and `typ`, nothing else: so no `b64` (RFC 7797) and no `jwk`, `jku`, `x5u`, `x5c` to bring a key along. */
function readHeader(members: Members): AccessTokenHeader {
  for (const name of members.keys()) {
    if (name === 'crit') throw new MalformedToken('crit');
    if (name !== 'alg' && name !== 'kid' && name !== 'typ') throw new MalformedToken('forbidden_header');
  }
  return {
    typ: matching(members, 'typ', TYP),
    alg: matching(members, 'alg', ALGORITHM),
    kid: matching(members, 'kid', KID),
  };
}

function matching(members: Members, name: keyof AccessTokenHeader, shape: RegExp): string {
  const value = members.get(name);
  if (typeof value !== 'string' || !shape.test(value)) throw new MalformedToken(name);
  return value;
}

/** Claims we do not know are left out, so that a newer version may add one (RFC 7519 §4). */
function readClaims(members: Members): AccessTokenClaims {
  return {
    iss: nonEmpty(members, 'iss'),
    aud: audience(members),
    sub: nonEmpty(members, 'sub'),
    client_id: nonEmpty(members, 'client_id'),
    iat: wholeNumber(members, 'iat'),
    exp: wholeNumber(members, 'exp'),
    ...(members.has('nbf') && { nbf: wholeNumber(members, 'nbf') }),
    jti: nonEmpty(members, 'jti'),
    sid: nonEmpty(members, 'sid'),
    ver: wholeNumber(members, 'ver'),
    roles: strings(members, 'roles'),
    auth_time: wholeNumber(members, 'auth_time'),
  };
}

type ClaimName = keyof AccessTokenClaims;

function nonEmpty(members: Members, name: ClaimName): string {
  const value = members.get(name);
  if (typeof value !== 'string' || value === '') throw new MalformedToken(`claim:${name}`);
  return value;
}

/** RFC 7519 allows fractions in a NumericDate; we never issue one. 1e400, which parses as Infinity, is refused here too. */
function wholeNumber(members: Members, name: ClaimName): number {
  const value = members.get(name);
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new MalformedToken(`claim:${name}`);
  return value;
}

function strings(members: Members, name: ClaimName): readonly string[] {
  const value = members.get(name);
  if (!isStrings(value)) throw new MalformedToken(`claim:${name}`);
  return value;
}

function audience(members: Members): string | readonly string[] {
  const value = members.get('aud');
  if (typeof value === 'string') return value;
  if (!isStrings(value) || value.length === 0) throw new MalformedToken('claim:aud');
  return value;
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
