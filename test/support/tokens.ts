import { sign, type KeyObject } from 'node:crypto';
import { z } from 'zod';

/** What a compact JWS says, believed as it stands. */
export interface ReadToken {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signature: string;
}

const objectSchema = z.record(z.string(), z.unknown());

export function readToken(token: string): ReadToken {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const read = (segment: string): Readonly<Record<string, unknown>> =>
    objectSchema.parse(JSON.parse(Buffer.from(segment, 'base64url').toString()));
  return { header: read(header), claims: read(payload), signature };
}

/** Signs the bytes of `header.payload`. */
export type Signer = (input: string) => string | Buffer;

/** RSASSA-PKCS1-v1_5 or, for an EC key, r‖s; SHA-256. */
export const signedBy =
  (privateKey: KeyObject): Signer =>
  (input) =>
    sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });

/** A compact JWS of exactly these texts: objects are written as JSON, text and bytes as they are. */
export function forge(header: object | string, payload: object | string | Buffer, signer: Signer): string {
  const input = `${segment(header)}.${segment(payload)}`;
  return `${input}.${Buffer.from(signer(input)).toString('base64url')}`;
}

export const segment = (content: object | string | Buffer): string =>
  (Buffer.isBuffer(content)
    ? content
    : Buffer.from(typeof content === 'string' ? content : JSON.stringify(content))
  ).toString('base64url');
