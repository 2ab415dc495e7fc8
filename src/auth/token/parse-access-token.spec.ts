import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { MalformedToken, parseAccessToken } from './parse-access-token.js';

const HEADER = { alg: 'RS256', kid: 'Xk3-_9', typ: 'at+jwt' };
const CLAIMS = {
  iss: 'https://login.example',
  aud: 'https://app.example',
  sub: '0198f0c0-0000-7000-8000-000000000001',
  client_id: 'keyturn-web',
  iat: 1_800_000_000,
  exp: 1_800_000_900,
  jti: 'q83vEjRWeJq83vEjRWeJqw',
  sid: '0198f0c0-0000-7000-8000-000000000002',
  ver: 3,
  roles: ['hr', 'auditor'],
  auth_time: 1_799_999_000,
};
const SIGNATURE = Buffer.alloc(64, 7).toString('base64url');

describe('an access token', () => {
  it('is read into its header and claims', () => {
    expect(parseAccessToken(token())).toStrictEqual({ header: HEADER, claims: CLAIMS });
  });

  it.each([
    ['typ with its media type prefix', { typ: 'application/at+jwt' }, {}],
    ['typ in another case', { typ: 'Application/AT+JWT' }, {}],
    ['several audiences', {}, { aud: ['https://app.example', 'https://other.example'] }],
    ['nbf', {}, { nbf: 1_800_000_000 }],
    ['no roles', {}, { roles: [] }],
    ['zero', {}, { iat: 0, exp: 0, ver: 0, auth_time: 0 }],
    ['letters outside ASCII', {}, { sub: 'zoë-🦊' }],
    ['the longest kid', { kid: 'k'.repeat(64) }, {}],
  ])('may have %s', (_, header, claims) => {
    expect(parseAccessToken(token({ ...HEADER, ...header }, { ...CLAIMS, ...claims }))).toStrictEqual({
      header: { ...HEADER, ...header },
      claims: { ...CLAIMS, ...claims },
    });
  });

  it.each(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512'])(
    'may be signed with %s',
    (alg) => {
      expect(parseAccessToken(token({ ...HEADER, alg })).header.alg).toBe(alg);
    },
  );

  it('may carry claims that we do not know, which are not handed on', () => {
    const payload = `{"__proto__":{"roles":["admin"]},"constructor":1,"acr":"2",${JSON.stringify(CLAIMS).slice(1)}`;
    const { claims } = parseAccessToken(spell(JSON.stringify(HEADER), payload));
    expect(claims).toStrictEqual(CLAIMS);
    expect(Object.getPrototypeOf(claims)).toBe(Object.prototype);
  });

  it('may be 8192 bytes long and no longer', () => {
    const longest = ofLength(8192);
    expect(parseAccessToken(longest).claims.sub).toMatch(/^x+$/);
    expect(reasonFor(`${longest}A`)).toBe('too_long');
  });
});

describe('its serialisation is refused', () => {
  const header = base64url(JSON.stringify(HEADER));
  const payload = base64url(JSON.stringify(CLAIMS));

  it.each([
    ['the empty string', '', 'segments'],
    ['one segment', header, 'segments'],
    ['two segments', `${header}.${payload}`, 'segments'],
    ['an empty signature (unsecured JWS)', `${header}.${payload}.`, 'segments'],
    ['an empty payload (detached JWS)', `${header}..${SIGNATURE}`, 'segments'],
    ['four segments', `${token()}.${SIGNATURE}`, 'segments'],
    ['a trailing dot', `${token()}.`, 'segments'],
    ['a JWE', `${header}.a2V5.aXY.Y2lwaGVy.dGFn`, 'segments'],
    ['8,000 segments', Array.from({ length: 4096 }, () => 'A').join('.'), 'segments'],
    ['JSON serialisation', JSON.stringify({ protected: header, payload, signature: SIGNATURE }), 'segments'],
    ['JSON serialisation with three dots', `{"protected":"${token()}"}`, 'base64url'],
    ['padding', `${header}.${payload}.${SIGNATURE}==`, 'base64url'],
    ['a space before', ` ${token()}`, 'base64url'],
    ['a line feed after', `${token()}\n`, 'base64url'],
    ['the alphabet of plain base64, +', `${header}.${payload}.+${SIGNATURE.slice(1)}`, 'base64url'],
    ['the alphabet of plain base64, /', `${header}.${payload}./${SIGNATURE.slice(1)}`, 'base64url'],
    ['a length that no bytes have', `${header}.${payload}.AAAAA`, 'base64url'],
    ['trailing bits that are not zero', `${header}.${payload}.AB`, 'base64url'],
    ['a letter outside ASCII', `${header}.${payload}.\u212aAAA`, 'base64url'],
    ['a megabyte', 'A'.repeat(1 << 20), 'too_long'],
    ['a megabyte of dots', '.'.repeat(1 << 20), 'too_long'],
  ])('%s', (_, text, reason) => {
    expect(reasonFor(text)).toBe(reason);
  });
});

describe('its JSON is refused', () => {
  const header = JSON.stringify(HEADER);
  const payload = JSON.stringify(CLAIMS);

  it.each([
    ['payload that is an array', header, '[]', 'not_an_object'],
    ['payload that is a string', header, '"x"', 'not_an_object'],
    ['payload that is null', header, 'null', 'not_an_object'],
    ['payload that is a number', header, '1', 'not_an_object'],
    ['payload that is no JSON', header, '{iss:1}', 'json'],
    ['payload with more behind it', header, `${payload}{}`, 'json'],
    ['header that is an array', '[]', payload, 'not_an_object'],
    ['header that is no JSON', 'RS256', payload, 'json'],
    ['a byte order mark', header, `\ufeff${payload}`, 'json'],
    ['bytes that are no UTF-8', header, Buffer.from([0x7b, 0xff, 0x7d]), 'utf8'],
    ['an overlong encoding', header, Buffer.from([0x7b, 0xc0, 0xa2, 0x7d]), 'utf8'],
    ['a surrogate in UTF-8', header, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'utf8'],
    ['UTF-16', header, Buffer.from(payload, 'utf16le'), 'json'],
    ['two algs', `{"alg":"none",${header.slice(1)}`, payload, 'duplicate_name'],
    ['two algs, one escaped', String.raw`{"\u0061lg":"none",${header.slice(1)}`, payload, 'duplicate_name'],
    ['two kids', `${header.slice(0, -1)},"kid":"other"}`, payload, 'duplicate_name'],
    ['two subs', header, `{"sub":"root",${payload.slice(1)}`, 'duplicate_name'],
    ['a duplicate deep in a claim we ignore', header, `{"x":[{"y":1,"y":1}],${payload.slice(1)}`, 'duplicate_name'],
    ['nesting beyond the bound', header, `{"x":${'['.repeat(32)}${']'.repeat(32)},${payload.slice(1)}`, 'too_deep'],
    ['nesting as deep as fits, never closed', header, '['.repeat(5_000), 'too_deep'],
    ['deep nesting in the header', '{"a":'.repeat(1_000), payload, 'too_deep'],
  ])('%s', (_, headerText, payloadText, reason) => {
    expect(reasonFor(spell(headerText, payloadText))).toBe(reason);
  });

  it('10,000-deep JSON, which cannot fit', () => {
    expect(reasonFor(spell(header, '['.repeat(10_000) + ']'.repeat(10_000)))).toBe('too_long');
  });
});

describe('its header is refused', () => {
  it.each([
    ['without alg', { alg: undefined }, 'alg'],
    ['alg none', { alg: 'none' }, 'alg'],
    ['alg None', { alg: 'None' }, 'alg'],
    ['alg NONE', { alg: 'NONE' }, 'alg'],
    ['an empty alg', { alg: '' }, 'alg'],
    ['alg in lower case', { alg: 'rs256' }, 'alg'],
    ['alg with a line feed', { alg: 'RS256\n' }, 'alg'],
    ['alg as a list', { alg: ['RS256'] }, 'alg'],
    ['another size', { alg: 'RS1' }, 'alg'],
    ['EdDSA', { alg: 'EdDSA' }, 'alg'],
    ['a curve we do not use', { alg: 'ES256K' }, 'alg'],
    ['PBES2', { alg: 'PBES2-HS256+A128KW' }, 'alg'],
    ['PBES2 with a huge count', { alg: 'PBES2-HS256+A128KW', p2c: 2 ** 31 }, 'forbidden_header'],
    ['without kid', { kid: undefined }, 'kid'],
    ['an empty kid', { kid: '' }, 'kid'],
    ['kid null', { kid: null }, 'kid'],
    ['kid a number', { kid: 1 }, 'kid'],
    ['kid a list', { kid: ['Xk3-_9'] }, 'kid'],
    ['kid a path', { kid: '../../../dev/null' }, 'kid'],
    ['kid SQL', { kid: "x' OR '1'='1" }, 'kid'],
    ['kid with NUL', { kid: 'Xk3\0' }, 'kid'],
    ['kid with a line feed', { kid: 'Xk3-_9\n' }, 'kid'],
    ['kid too long', { kid: 'k'.repeat(65) }, 'kid'],
    ['without typ', { typ: undefined }, 'typ'],
    ['typ JWT', { typ: 'JWT' }, 'typ'],
    ['typ of a refresh token', { typ: 'rt+jwt' }, 'typ'],
    ['typ with a suffix', { typ: 'at+jwt; v=1' }, 'typ'],
    ['typ with another prefix', { typ: 'text/at+jwt' }, 'typ'],
    ['typ with a line feed', { typ: 'at+jwt\n' }, 'typ'],
    ['typ a list', { typ: ['at+jwt'] }, 'typ'],
    ['crit', { crit: ['exp'] }, 'crit'],
    ['an empty crit', { crit: [] }, 'crit'],
    ['crit null', { crit: null }, 'crit'],
    ['b64', { b64: false }, 'forbidden_header'],
    ['b64 true', { b64: true }, 'forbidden_header'],
    ['jwk', { jwk: { kty: 'oct', k: '' } }, 'forbidden_header'],
    ['jku', { jku: 'https://evil.example/jwks.json' }, 'forbidden_header'],
    ['x5u', { x5u: 'https://evil.example/cert.pem' }, 'forbidden_header'],
    ['x5c', { x5c: ['MIIB'] }, 'forbidden_header'],
    ['x5t', { x5t: 'abc' }, 'forbidden_header'],
    ['cty', { cty: 'JWT' }, 'forbidden_header'],
    ['zip', { zip: 'DEF' }, 'forbidden_header'],
    ['a name in another case', { ALG: 'RS256' }, 'forbidden_header'],
  ])('%s', (_, header, reason) => {
    expect(reasonFor(token({ ...HEADER, ...header }))).toBe(reason);
  });

  it('with __proto__, and nothing is inherited from it', () => {
    const payload = JSON.stringify(CLAIMS);
    expect(reasonFor(spell(`{"__proto__":${JSON.stringify(HEADER)}}`, payload))).toBe('forbidden_header');
    expect(reasonFor(spell(JSON.stringify(HEADER), `{"__proto__":${payload}}`))).toBe('claim:iss');
  });
});

describe('its claims are refused', () => {
  const required = ['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti', 'sid', 'ver', 'roles', 'auth_time'];

  it.each(required)('without %s', (name) => {
    expect(reasonFor(token(HEADER, { ...CLAIMS, [name]: undefined }))).toBe(`claim:${name}`);
  });

  it.each(required)('with %s null, true or an object', (name) => {
    for (const value of [null, true, {}]) {
      expect(reasonFor(token(HEADER, { ...CLAIMS, [name]: value }))).toBe(`claim:${name}`);
    }
  });

  it.each(['iss', 'sub', 'client_id', 'jti', 'sid'])('with %s empty, a number or a list', (name) => {
    for (const value of ['', 1, ['x']]) {
      expect(reasonFor(token(HEADER, { ...CLAIMS, [name]: value }))).toBe(`claim:${name}`);
    }
  });

  it.each(['iat', 'exp', 'nbf', 'auth_time', 'ver'])('with %s no whole number from zero up', (name) => {
    const members = Object.entries(CLAIMS).filter(([other]) => other !== name);
    const others = JSON.stringify(Object.fromEntries(members)).slice(1);
    for (const json of ['"1800000900"', 'null', '1.5', '-1', '1e400', '9007199254740993', '[1800000900]', 'false']) {
      expect(reasonFor(spell(JSON.stringify(HEADER), `{"${name}":${json},${others}`))).toBe(`claim:${name}`);
    }
  });

  it.each([
    ['aud a number', { aud: 1 }, 'claim:aud'],
    ['no audience', { aud: [] }, 'claim:aud'],
    ['an audience that is no string', { aud: ['https://app.example', 1] }, 'claim:aud'],
    ['a nested audience', { aud: [['https://app.example']] }, 'claim:aud'],
    ['roles a string', { roles: 'admin' }, 'claim:roles'],
    ['roles an object', { roles: { 0: 'admin', length: 1 } }, 'claim:roles'],
    ['a role that is no string', { roles: ['hr', 1] }, 'claim:roles'],
  ])('with %s', (_, claims, reason) => {
    expect(reasonFor(token(HEADER, { ...CLAIMS, ...claims }))).toBe(reason);
  });
});

describe('whatever the token', () => {
  it('a well-formed one comes back as it was written', () => {
    fc.assert(
      fc.property(wellFormed, ({ header, claims, signature }) => {
        const text = spell(JSON.stringify(header), JSON.stringify(claims), signature);
        expect(parseAccessToken(text)).toStrictEqual({ header, claims });
      }),
    );
  });

  it('nothing but MalformedToken is thrown', () => {
    const json = fc.oneof(fc.json(), fc.string({ unit: 'binary' }));
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('.', 'A', '-', '_', '=', 'e', 'y', '0'), maxLength: 60 }),
      fc.tuple(json, json).map(([header, payload]) => spell(header, payload)),
      json.map((payload) => spell(JSON.stringify(HEADER), payload)),
    );
    fc.assert(
      fc.property(text, (value) => {
        expect(reasonFor(value)).toEqual(expect.any(String));
      }),
      { numRuns: 1_000 },
    );
  });

  it('a character outside the alphabet anywhere is refused', () => {
    const stranger = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 1 })
      .filter((c) => !/[A-Za-z0-9_-]/.test(c));
    fc.assert(
      fc.property(fc.nat({ max: token().length - 1 }), stranger, fc.boolean(), (at, character, insert) => {
        const valid = token();
        fc.pre(insert || valid[at] !== '.');
        const text = valid.slice(0, at) + character + valid.slice(insert ? at : at + 1);
        expect(['base64url', 'segments']).toContain(reasonFor(text));
      }),
    );
  });

  it('no segment has a second spelling', () => {
    const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 70 }), fc.integer({ min: 1, max: 63 }), (bytes, raise) => {
        const canonical = base64url(bytes);
        const last = ALPHABET.indexOf(canonical.slice(-1));
        const other = canonical.slice(0, -1) + ALPHABET.charAt((last + raise) % 64);
        fc.pre(Buffer.from(other, 'base64url').equals(bytes)); // the same bytes, spelled otherwise
        expect(reasonFor(spell(JSON.stringify(HEADER), JSON.stringify(CLAIMS), other))).toBe('base64url');
      }),
    );
  });

  it('the reason says nothing of the token', () => {
    expect(() => parseAccessToken(token({ ...HEADER, 'evil\u001b[31m\r\n': 1 }))).toThrow(
      new MalformedToken('forbidden_header'),
    );
    expect(new MalformedToken('forbidden_header').message).toBe('The access token is malformed: forbidden_header');
  });
});

function base64url(bytes: string | Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function spell(header: string, payload: string | Uint8Array, signature = SIGNATURE): string {
  return `${base64url(header)}.${base64url(payload)}.${signature}`;
}

function token(header: object = HEADER, claims: object = CLAIMS): string {
  return spell(JSON.stringify(header), JSON.stringify(claims));
}

/** A good token of exactly this length, filled up in `sub` and then in the signature. */
function ofLength(length: number): string {
  const sub = 'x'.repeat(Math.floor(((length - token().length) * 3) / 4));
  const base = token(HEADER, { ...CLAIMS, sub });
  return `${base}${'A'.repeat(length - base.length)}`;
}

function reasonFor(text: string): string | undefined {
  try {
    parseAccessToken(text);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedToken) return error.reason;
    throw error;
  }
}

const seconds = fc.maxSafeNat();
const name = fc.string({ minLength: 1, unit: 'grapheme' });
const wellFormed = fc.record({
  header: fc.record(
    {
      typ: fc.constantFrom('at+jwt', 'AT+JWT', 'application/at+jwt'),
      alg: fc.constantFrom('RS256', 'PS384', 'ES512', 'HS256'),
      kid: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
    },
    { noNullPrototype: true },
  ),
  claims: fc.record(
    {
      iss: fc.webUrl(),
      aud: fc.oneof(fc.string(), fc.array(fc.string(), { minLength: 1 })),
      sub: name,
      client_id: name,
      iat: seconds,
      exp: seconds,
      nbf: seconds,
      jti: name,
      sid: name,
      ver: seconds,
      roles: fc.array(fc.string({ unit: 'binary' })),
      auth_time: seconds,
    },
    {
      requiredKeys: ['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti', 'sid', 'ver', 'roles', 'auth_time'],
      noNullPrototype: true,
    },
  ),
  signature: fc.uint8Array({ minLength: 1, maxLength: 256 }).map(base64url),
});
