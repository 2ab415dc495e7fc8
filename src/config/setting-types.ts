/* How the text of a setting is read, and in which words a wrong one is refused. */

import { isIP } from 'node:net';
import { z } from 'zod';

/** A whole number within bounds. */
export const integer = (least: number, most: number): z.ZodType<number, string> =>
  z
    .string()
    .regex(/^\d{1,9}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be a whole number from ${least} to ${most}`);

/** One of these words. */
export const oneOf = <const T extends readonly [string, ...string[]]>(values: T): z.ZodType<T[number], string> =>
  z.string().transform((text, context) => {
    const found = values.find((value) => value === text);
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: `must be one of ${values.join(', ')}` });
    return z.NEVER;
  });

/** Addresses or CIDR ranges, as Fastify's `trustProxy` takes them. */
export const networks = z.string().refine(
  (text) =>
    text.split(',').every((part) => {
      const [address = '', bits, ...more] = part.trim().split('/');
      const width = isIP(address) === 6 ? 128 : 32;
      return (
        isIP(address) !== 0 &&
        more.length === 0 &&
        (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= width))
      );
    }),
  'must be addresses or CIDR ranges with commas between',
);

/** What is wrong is said without the value: it holds a password. */
export const postgresUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, { error: 'must begin with postgres:// or postgresql://', abort: true })
  .refine(
    isReadableUrl,
    'is no URL: in user name and password write each of / : @ ? # [ ] and % as % and two hexadecimal digits, such as %2F for /',
  );

function isReadableUrl(text: string): boolean {
  try {
    const { username, password, pathname } = new URL(text);
    [username, password, pathname].forEach((part) => decodeURIComponent(part));
    return true;
  } catch {
    return false;
  }
}

/** `127.0.0.1:9464`, `[::1]:9464` */
export const address = z.string().transform((text, context) => {
  const [, v6, name, port] = /^(?:\[([\da-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/i.exec(text) ?? [];
  const host = v6 ?? name;
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  context.addIssue({ code: 'custom', message: 'must be host:port, an IPv6 address in brackets' });
  return z.NEVER;
});

/** An address on the web, as an issuer is one. */
export const httpUrl = z
  .string()
  .refine(
    (text) => URL.canParse(text) && /^https?:\/\/[^?#]+$/.test(text),
    'must be an http or https URL without query or fragment',
  );
