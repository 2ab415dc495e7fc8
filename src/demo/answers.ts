import { decodeProtectedHeader } from 'jose';
import { z } from 'zod';
import { NotAsTold } from './expectation.js';

/** The shapes of the answers that the story goes on with. */
export const tokenPair = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.number(),
});
export const userView = z.object({ id: z.string(), username: z.string(), roles: z.array(z.string()) });
export const problem = z.object({ code: z.string(), detail: z.string() });
export const keySet = z.object({ keys: z.array(z.looseObject({ kid: z.string() })) });
export const rotated = z.object({ retired: z.string(), activated: z.string(), forced: z.boolean() });
export const revoked = z.object({
  revoked: z.string(),
  signer: z.string(),
  replicas: z.object({ live: z.number(), following: z.number() }),
});

/** @throws NotAsTold when the answer has another shape */
export function read<T>(shape: z.ZodType<T>, { body }: { readonly body: unknown }): T {
  const parsed = shape.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new NotAsTold(`Not as told: the answer has another shape. ${z.prettifyError(parsed.error)}`);
}

/** The header of a token, decoded as anybody can. */
export const headerOf = (token: string): { alg?: string; kid?: string; typ?: string } => decodeProtectedHeader(token);

/** The same token with one character in the middle of its signature changed. */
export function broken(token: string): string {
  const at = token.length - 40;
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
}
