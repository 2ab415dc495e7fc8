import { createHmac, generateKeyPairSync, sign, constants, type KeyObject } from 'node:crypto';
import type { OpenedKey } from '../support/test-app.js';
import { forge, segment, signedBy, type Signer } from '../support/tokens.js';

/** What a forger may have in hand: everything but luck. `claims` and `header` are those of a token that is good. */
export interface World {
  readonly good: string;
  readonly otherGood: string;
  readonly refreshToken: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  /** The key that signs. Its private half as well, for tokens that are wrong although their signature is right. */
  readonly key: OpenedKey;
  readonly standby: OpenedKey;
  /** Where nobody must ever call. */
  readonly trap: string;
}

export type Hostile = readonly [what: string, reason: string, make: (world: World) => string];

/** Signed with the real key over exactly these texts. */
const wellSigned = (world: World, header: object | string, payload: object | string | Buffer): string =>
  forge(header, payload, signedBy(world.key.privateKey));

const withHeader =
  (change: Readonly<Record<string, unknown>>) =>
  (world: World): string =>
    wellSigned(world, { ...world.header, ...change }, world.claims);

export const withClaims =
  (change: Readonly<Record<string, unknown>>) =>
  (world: World): string =>
    wellSigned(world, world.header, { ...world.claims, ...change });

const without = (record: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(record).filter(([member]) => member !== name));

/** The good token's payload with a text put behind its opening brace, signed well. */
const withPayloadText = (text: string) => (world: World) =>
  wellSigned(world, world.header, `{${text},${JSON.stringify(world.claims).slice(1)}`);

const withHeaderText = (text: string) => (world: World) =>
  wellSigned(world, `{${text},${JSON.stringify(world.header).slice(1)}`, world.claims);

const payload = (content: string | Buffer) => (world: World) => wellSigned(world, world.header, content);

/** The good token with its segments changed. */
const cut =
  (change: (header: string, payload: string, signature: string) => string) =>
  ({ good }: World): string => {
    const [header = '', body = '', signature = ''] = good.split('.');
    return change(header, body, signature);
  };

/** The good token's claims under another algorithm, with whatever that algorithm makes of what is public. */
const resigned =
  (alg: string, signer: (world: World) => Signer) =>
  (world: World): string =>
    forge({ ...world.header, alg }, world.claims, signer(world));

const hmac =
  (alg: 'sha256' | 'sha512', secret: (world: World) => string | Buffer) =>
  (world: World): Signer =>
  (input) =>
    createHmac(alg, secret(world)).update(input).digest();

const pem = ({ key }: World): string => key.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const jwk = ({ key }: World): string => JSON.stringify(key.publicJwk);

const rsa =
  (hash: string, padding: number) =>
  ({ key }: World): Signer =>
  (input) =>
    sign(hash, Buffer.from(input), { key: key.privateKey, padding });

const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
const strangerEc = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const byStranger = (key: KeyObject) => (): Signer => signedBy(key);

const none = (alg: string): readonly Hostile[] => [
  [`alg ${alg} without a signature`, 'segments', (world) => forge({ ...world.header, alg }, world.claims, () => '')],
  [`alg ${alg} with a signature`, 'alg', (world) => wellSigned(world, { ...world.header, alg }, world.claims)],
];

const algorithms: readonly Hostile[] = [
  ...['none', 'None', 'NONE', 'nOnE'].flatMap(none),
  ['alg missing', 'alg', (world) => wellSigned(world, without(world.header, 'alg'), world.claims)],
  ['alg empty', 'alg', withHeader({ alg: '' })],
  ['alg null', 'alg', withHeader({ alg: null })],
  ['alg a number', 'alg', withHeader({ alg: 256 })],
  ['alg a list', 'alg', withHeader({ alg: ['RS256'] })],
  ['alg in lower case', 'alg', withHeader({ alg: 'rs256' })],
  ['alg with a blank behind it', 'alg', withHeader({ alg: 'RS256 ' })],
  ['alg of another kind of key that we do not have', 'alg', withHeader({ alg: 'EdDSA' })],
  ['HS256 over the public key as PEM', 'algorithm', resigned('HS256', hmac('sha256', pem))],
  [
    'HS256 over the PEM without its last newline',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', (w) => pem(w).trimEnd()),
    ),
  ],
  [
    'HS256 over the public key as DER',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', ({ key }) => key.publicKey.export({ type: 'spki', format: 'der' })),
    ),
  ],
  [
    'HS256 over the PKCS#1 PEM',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', ({ key }) => key.publicKey.export({ type: 'pkcs1', format: 'pem' })),
    ),
  ],
  ['HS256 over the JWK', 'algorithm', resigned('HS256', hmac('sha256', jwk))],
  [
    'HS256 over the modulus',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', ({ key }) => Buffer.from(key.publicJwk?.n ?? '', 'base64url')),
    ),
  ],
  ['HS512 over the public key as PEM', 'algorithm', resigned('HS512', hmac('sha512', pem))],
  [
    'HS256 with an empty key',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', () => ''),
    ),
  ],
  [
    'HS256 with a key of zeros',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', () => Buffer.alloc(32)),
    ),
  ],
  [
    'HS256 with the kid for a key',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', ({ key }) => key.kid),
    ),
  ],
  ['RS384 made with the RS256 key', 'algorithm', resigned('RS384', rsa('sha384', constants.RSA_PKCS1_PADDING))],
  ['RS512 made with the RS256 key', 'algorithm', resigned('RS512', rsa('sha512', constants.RSA_PKCS1_PADDING))],
  ['PS256 made with the RS256 key', 'algorithm', resigned('PS256', rsa('sha256', constants.RSA_PKCS1_PSS_PADDING))],
  ['RS256 said, PS256 made', 'signature', resigned('RS256', rsa('sha256', constants.RSA_PKCS1_PSS_PADDING))],
  ['RS256 said, RS384 made', 'signature', resigned('RS256', rsa('sha384', constants.RSA_PKCS1_PADDING))],
  ['ES256 under an RSA kid', 'algorithm', resigned('ES256', byStranger(strangerEc.privateKey))],
];

const headers: readonly Hostile[] = [
  [
    'its own key along with it',
    'forbidden_header',
    (world) =>
      forge(
        { ...world.header, jwk: stranger.publicKey.export({ format: 'jwk' }) },
        world.claims,
        signedBy(stranger.privateKey),
      ),
  ],
  ['our key along with it', 'forbidden_header', (world) => withHeader({ jwk: world.key.publicJwk })(world)],
  ['jku', 'forbidden_header', (world) => withHeader({ jku: `${world.trap}/jwks.json` })(world)],
  ['x5u', 'forbidden_header', (world) => withHeader({ x5u: `${world.trap}/chain.pem` })(world)],
  ['x5c', 'forbidden_header', withHeader({ x5c: ['MIIB'] })],
  ['x5t', 'forbidden_header', withHeader({ x5t: 'AAAA' })],
  ['a kid that is a URL', 'kid', (world) => withHeader({ kid: `${world.trap}/key.pem` })(world)],
  ['crit', 'crit', withHeader({ crit: ['exp'] })],
  ['an empty crit', 'crit', withHeader({ crit: [] })],
  ['crit null', 'crit', withHeader({ crit: null })],
  ['b64 false', 'forbidden_header', withHeader({ b64: false })],
  ['b64 false and critical', 'forbidden_header', withHeader({ b64: false, crit: ['b64'] })],
  ['b64 true', 'forbidden_header', withHeader({ b64: true })],
  ['compression', 'forbidden_header', withHeader({ zip: 'DEF' })],
  ['cty', 'forbidden_header', withHeader({ cty: 'JWT' })],
  ['a header member that nobody knows', 'forbidden_header', withHeader({ admin: true })],
  [
    'PBES2 with a huge count',
    'forbidden_header',
    withHeader({ alg: 'PBES2-HS256+A128KW', p2c: 2_147_483_647, p2s: 'AAAA' }),
  ],
  ['a prototype in the header', 'forbidden_header', withHeaderText('"__proto__":{"kid":"x"}')],
  ['alg twice', 'duplicate_name', withHeaderText('"alg":"none"')],
  ['alg twice, once in disguise', 'duplicate_name', withHeaderText('"\\u0061lg":"none"')],
  ['kid twice', 'duplicate_name', withHeaderText('"kid":"other"')],
  ['typ twice', 'duplicate_name', withHeaderText('"typ":"JWT"')],
  ['typ missing', 'typ', (world) => wellSigned(world, without(world.header, 'typ'), world.claims)],
  ['typ JWT', 'typ', withHeader({ typ: 'JWT' })],
  ['typ of an ID token', 'typ', withHeader({ typ: 'id+jwt' })],
  ['typ with a blank behind it', 'typ', withHeader({ typ: 'at+jwt ' })],
  ['typ with more behind it', 'typ', withHeader({ typ: 'at+jwtx' })],
  ['typ under another tree', 'typ', withHeader({ typ: 'text/at+jwt' })],
  ['typ a list', 'typ', withHeader({ typ: ['at+jwt'] })],
  ['kid missing', 'kid', (world) => wellSigned(world, without(world.header, 'kid'), world.claims)],
  ['kid null', 'kid', withHeader({ kid: null })],
  ['kid a number', 'kid', withHeader({ kid: 1 })],
  ['kid a list', 'kid', (world) => withHeader({ kid: [world.key.kid] })(world)],
  ['kid an object', 'kid', withHeader({ kid: { $ne: '' } })],
  ['kid empty', 'kid', withHeader({ kid: '' })],
  ['kid a path', 'kid', withHeader({ kid: '../../../../dev/null' })],
  ['kid some SQL', 'kid', withHeader({ kid: `' UNION SELECT 'secret' -- ` })],
  ['kid with NUL in it', 'kid', (world) => withHeader({ kid: `${world.key.kid}\u0000` })(world)],
  ['kid with a newline behind it', 'kid', (world) => withHeader({ kid: `${world.key.kid}\n` })(world)],
  ['kid with a letter that looks the same', 'kid', withHeader({ kid: '1-аbcdefgh' })],
  ['kid of 65', 'kid', withHeader({ kid: 'a'.repeat(65) })],
  ['kid of 5,000', 'kid', withHeader({ kid: 'a'.repeat(5_000) })],
  ['a header that is a list', 'not_an_object', (world) => wellSigned(world, [], world.claims)],
  ['a header that is a string', 'not_an_object', (world) => wellSigned(world, '"RS256"', world.claims)],
  ['a header that is null', 'not_an_object', (world) => wellSigned(world, 'null', world.claims)],
  ['a header cut off', 'json', (world) => wellSigned(world, JSON.stringify(world.header).slice(0, -1), world.claims)],
];

const standardAlphabet = (text: string): string => text.replaceAll('-', '+').replaceAll('_', '/');

const shapes: readonly Hostile[] = [
  ['one segment', 'segments', cut((header) => header)],
  ['two segments', 'segments', cut((header, body) => `${header}.${body}`)],
  ['four segments', 'segments', cut((...parts) => `${parts.join('.')}.${parts[2]}`)],
  ['a dot behind it', 'segments', ({ good }) => `${good}.`],
  ['a dot before it', 'segments', ({ good }) => `.${good}`],
  ['an empty payload', 'segments', cut((header, _body, signature) => `${header}..${signature}`)],
  ['an empty header', 'segments', cut((_header, body, signature) => `.${body}.${signature}`)],
  ['dots alone', 'segments', () => '..'],
  ['8,000 segments', 'segments', () => '.'.repeat(7_999)],
  [
    'the five segments of a JWE',
    'segments',
    () => `${segment({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.AAAA.AAAA.AAAA.AAAA`,
  ],
  [
    'a JWE whose key comes from a password',
    'segments',
    () =>
      `${segment({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 2_147_483_647, p2s: 'AAAA' })}.AAAA.AAAA.AAAA.AAAA`,
  ],
  [
    'the flattened JSON serialisation',
    'segments',
    cut((header, body, signature) => JSON.stringify({ protected: header, payload: body, signature })),
  ],
  [
    'the general JSON serialisation',
    'segments',
    cut((header, body, signature) => JSON.stringify({ payload: body, signatures: [{ protected: header, signature }] })),
  ],
  ['a good token twice', 'segments', ({ good }) => `${good}.${good}`],
  ['a good token, a comma and another', 'segments', ({ good, otherGood }) => `${good}, ${otherGood}`],
  ['the scheme twice', 'base64url', ({ good }) => `Bearer ${good}`],
  ['quotes around it', 'base64url', ({ good }) => `"${good}"`],
  ['a blank in the header', 'base64url', ({ good }) => good.replace(/^(.{10})/, '$1 ')],
  ['a blank before a dot', 'base64url', ({ good }) => good.replace('.', ' .')],
  [
    'a tab in the signature',
    'base64url',
    cut((header, body, signature) => `${header}.${body}.${signature.slice(0, 9)}\t${signature.slice(9)}`),
  ],
  ['padding behind the header', 'base64url', cut((header, body, signature) => `${header}=.${body}.${signature}`)],
  ['padding behind the signature', 'base64url', ({ good }) => `${good}==`],
  ['the other base64 alphabet', 'base64url', (world) => standardAlphabet(withClaims({ jti: '>>>???>>>???' })(world))],
  ['a last bit that does not count', 'base64url', ({ good }) => good.slice(0, -1) + nextLetter(good.slice(-1))],
  ['a percent sign', 'base64url', ({ good }) => good.replace('.', '%2E.')],
  ['more than 8 KiB', 'too_long', withClaims({ note: 'a'.repeat(7_000) })],
  ['a refresh token', 'segments', ({ refreshToken }) => refreshToken],
  ['the word undefined', 'segments', () => 'undefined'],
];

const payloads: readonly Hostile[] = [
  ['a payload that is a list', 'not_an_object', payload('[]')],
  ['a payload that is a string', 'not_an_object', payload('"x"')],
  ['a payload that is null', 'not_an_object', payload('null')],
  ['a payload that is true', 'not_an_object', payload('true')],
  ['a payload that is a number', 'not_an_object', payload('1')],
  ['a payload that is an empty object', 'claim:iss', payload('{}')],
  ['a payload cut off', 'json', (world) => payload(JSON.stringify(world.claims).slice(0, -1))(world)],
  ['a payload with more behind it', 'json', (world) => payload(`${JSON.stringify(world.claims)}{}`)(world)],
  ['a payload with a byte order mark', 'json', (world) => payload(`\uFEFF${JSON.stringify(world.claims)}`)(world)],
  ['a payload that is no UTF-8', 'utf8', payload(Buffer.from('{"iss":"\xff\xfe"}', 'latin1'))],
  ['lists 2,500 deep', 'too_deep', (world) => payload(`{"x":${'['.repeat(2_500)}${']'.repeat(2_500)}}`)(world)],
  ['objects 800 deep', 'too_deep', payload('{"x":'.repeat(800) + '1' + '}'.repeat(800))],
  ['lists 10,000 deep', 'too_long', payload('['.repeat(10_000))],
  ['exp twice', 'duplicate_name', withPayloadText('"exp":1')],
  ['sub twice', 'duplicate_name', withPayloadText('"sub":"somebody else"')],
  ['roles twice, once in disguise', 'duplicate_name', withPayloadText('"r\\u006fles":["admin"]')],
  ['a name twice, deep inside', 'duplicate_name', withPayloadText('"x":{"a":1,"a":2}')],
];

const claimNames = ['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti', 'sid', 'ver', 'auth_time', 'roles'] as const;

const numbers = (name: 'exp' | 'iat' | 'ver' | 'auth_time' | 'nbf'): readonly Hostile[] =>
  [
    ['text', '"4102444800"'],
    ['null', 'null'],
    ['true', 'true'],
    ['a list', '[4102444800]'],
    ['a fraction', '4102444800.5'],
    ['negative', '-1'],
    ['infinite', '1e400'],
    ['beyond what a number holds exactly', '9007199254740993'],
  ].map(([what, text]): Hostile => [
    `${name} ${what}`,
    `claim:${name}`,
    (world) =>
      wellSigned(world, world.header, `{"${name}":${text},${JSON.stringify(without(world.claims, name)).slice(1)}`),
  ]);

const seconds = (world: World, name: string): number => Number(world.claims[name]);

const claims: readonly Hostile[] = [
  ...claimNames.map((name): Hostile => [
    `${name} missing`,
    `claim:${name}`,
    (world) => wellSigned(world, world.header, without(world.claims, name)),
  ]),
  ...(['exp', 'iat', 'ver', 'auth_time', 'nbf'] as const).flatMap(numbers),
  ['exp before iat', 'lifetime', (world) => withClaims({ exp: seconds(world, 'iat') - 1 })(world)],
  ['exp zero', 'lifetime', withClaims({ exp: 0 })],
  [
    'a life longer than its key allows',
    'lifetime',
    (world) => withClaims({ exp: seconds(world, 'iat') + 3_601 })(world),
  ],
  ['a life without end', 'lifetime', withClaims({ exp: Number.MAX_SAFE_INTEGER })],
  [
    'iat in the future',
    'issued_in_the_future',
    (world) => withClaims({ iat: seconds(world, 'iat') + 120, exp: seconds(world, 'iat') + 240 })(world),
  ],
  [
    'iat before its key began',
    'outside_key_window',
    (world) => withClaims({ iat: seconds(world, 'iat') - 1_000 })(world),
  ],
  ['nbf in the future', 'not_yet', (world) => withClaims({ nbf: seconds(world, 'iat') + 120 })(world)],
  ['iss with a slash behind it', 'issuer', (world) => withClaims({ iss: `${String(world.claims['iss'])}/` })(world)],
  ['iss in capitals', 'issuer', (world) => withClaims({ iss: String(world.claims['iss']).toUpperCase() })(world)],
  [
    'iss by another scheme',
    'issuer',
    (world) => withClaims({ iss: String(world.claims['iss']).replace('http:', 'https:') })(world),
  ],
  ['iss of the trap', 'issuer', (world) => withClaims({ iss: world.trap })(world)],
  ['iss a list', 'claim:iss', (world) => withClaims({ iss: [world.claims['iss']] })(world)],
  ['iss empty', 'claim:iss', withClaims({ iss: '' })],
  ['aud somebody else', 'audience', withClaims({ aud: 'https://other.example' })],
  ['aud a list of others', 'audience', withClaims({ aud: ['https://other.example', 'x'] })],
  ['aud with a slash behind it', 'audience', (world) => withClaims({ aud: `${String(world.claims['aud'])}/` })(world)],
  [
    'aud that begins with ours',
    'audience',
    (world) => withClaims({ aud: `${String(world.claims['aud'])}.evil.example` })(world),
  ],
  ['aud that contains ours', 'audience', (world) => withClaims({ aud: `x ${String(world.claims['aud'])}` })(world)],
  ['aud an empty list', 'claim:aud', withClaims({ aud: [] })],
  ['aud a list with a number', 'claim:aud', (world) => withClaims({ aud: [world.claims['aud'], 1] })(world)],
  ['aud an object', 'claim:aud', withClaims({ aud: {} })],
  ['aud an empty text', 'audience', withClaims({ aud: '' })],
  ['sub empty', 'claim:sub', withClaims({ sub: '' })],
  ['sub a number', 'claim:sub', withClaims({ sub: 1 })],
  ['sub some SQL', 'session', withClaims({ sub: `' OR 1=1 --` })],
  ['sub of nobody', 'session', withClaims({ sub: '00000000-0000-4000-8000-000000000000' })],
  ['sid of no session', 'session', withClaims({ sid: '00000000-0000-4000-8000-000000000000' })],
  ['sid some SQL', 'session', withClaims({ sid: `' OR 1=1 --` })],
  ['sid in capitals', 'session', (world) => withClaims({ sid: String(world.claims['sid']).toUpperCase() })(world)],
  ['sid a list', 'claim:sid', (world) => withClaims({ sid: [world.claims['sid']] })(world)],
  ['jti empty', 'claim:jti', withClaims({ jti: '' })],
  ['jti a number', 'claim:jti', withClaims({ jti: 1 })],
  ['client_id a list', 'claim:client_id', withClaims({ client_id: ['keyturn-web'] })],
  ['roles a text', 'claim:roles', withClaims({ roles: 'admin' })],
  ['roles with a number', 'claim:roles', withClaims({ roles: ['admin', 1] })],
  ['roles an object', 'claim:roles', withClaims({ roles: { 0: 'admin', length: 1 } })],
  ['ver of long ago', 'user_changed', withClaims({ ver: 0 })],
  ['ver of the future', 'user_changed', withClaims({ ver: 999 })],
];

const signatures: readonly Hostile[] = [
  ['the signature stripped', 'segments', cut((header, body) => `${header}.${body}.`)],
  ['the signature a byte short', 'signature', shortened(-1)],
  ['half of the signature', 'signature', shortened(-128)],
  [
    'the signature of another token',
    'signature',
    ({ good, otherGood }) => good.replace(/[^.]+$/, otherGood.split('.')[2] ?? ''),
  ],
  [
    'the payload of another token',
    'signature',
    ({ good, otherGood }) => good.replace(/\.[^.]+\./, `.${otherGood.split('.')[1]}.`),
  ],
  [
    'one role more',
    'signature',
    cut(
      (header, body, signature) =>
        `${header}.${segment(Buffer.from(body, 'base64url').toString().replace('"roles":[]', '"roles":["admin"]'))}.${signature}`,
    ),
  ],
  [
    'a blank more in the payload',
    'signature',
    cut(
      (header, body, signature) => `${header}.${segment(` ${Buffer.from(body, 'base64url').toString()}`)}.${signature}`,
    ),
  ],
  ['a signature of zeros', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(256))],
  ['a signature of ones', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(256, 0xff))],
  [
    'a signature of one',
    'signature',
    (world) => forge(world.header, world.claims, () => Buffer.concat([Buffer.alloc(255), Buffer.from([1])])),
  ],
  [
    'a signature by a stranger',
    'signature',
    (world) => forge(world.header, world.claims, signedBy(stranger.privateKey)),
  ],
  [
    'a signature by the standby under the active kid',
    'signature',
    (world) => forge(world.header, world.claims, signedBy(world.standby.privateKey)),
  ],
  ['a signature of 4 KiB', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(4_096, 1))],
];

/** Tokens that must be refused over a ring of RS256, each with the reason that the log gives. Add to them. */
export const HOSTILE_TOKENS: readonly Hostile[] = [
  ...algorithms,
  ...headers,
  ...shapes,
  ...payloads,
  ...claims,
  ...signatures,
];

/** The same over a ring of ES256. */
export const HOSTILE_ES256_TOKENS: readonly Hostile[] = [
  ['r = s = 0', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(64))],
  ['r = 0', 'signature', withSignature((bytes) => Buffer.concat([Buffer.alloc(32), bytes.subarray(32)]))],
  ['s = 0', 'signature', withSignature((bytes) => Buffer.concat([bytes.subarray(0, 32), Buffer.alloc(32)]))],
  ['r and s of all ones', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(64, 0xff))],
  [
    'r and s exchanged',
    'signature',
    withSignature((bytes) => Buffer.concat([bytes.subarray(32), bytes.subarray(0, 32)])),
  ],
  ['a byte short', 'signature', withSignature((bytes) => bytes.subarray(0, 63))],
  ['a byte long', 'signature', withSignature((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]))],
  [
    'a zero before each half',
    'signature',
    withSignature((bytes) =>
      Buffer.concat([Buffer.alloc(1), bytes.subarray(0, 32), Buffer.alloc(1), bytes.subarray(32)]),
    ),
  ],
  [
    'a signature in DER',
    'signature',
    (world) => forge(world.header, world.claims, (input) => sign('sha256', Buffer.from(input), world.key.privateKey)),
  ],
  ['HS256 over the public key as PEM', 'algorithm', resigned('HS256', hmac('sha256', pem))],
  ['HS256 over the JWK', 'algorithm', resigned('HS256', hmac('sha256', jwk))],
  ['ES384', 'algorithm', (world) => withHeader({ alg: 'ES384' })(world)],
  ['RS256', 'algorithm', resigned('RS256', byStranger(stranger.privateKey))],
  ['none', 'segments', (world) => forge({ ...world.header, alg: 'none' }, world.claims, () => '')],
  [
    'a signature by a stranger',
    'signature',
    (world) => forge(world.header, world.claims, signedBy(strangerEc.privateKey)),
  ],
  [
    'a signature by the standby under the active kid',
    'signature',
    (world) => forge(world.header, world.claims, signedBy(world.standby.privateKey)),
  ],
];

/** The same over a ring of HS256, whose secret the forger has not. */
export const HOSTILE_HS256_TOKENS: readonly Hostile[] = [
  [
    'an empty key',
    'signature',
    resigned(
      'HS256',
      hmac('sha256', () => ''),
    ),
  ],
  [
    'a key of zeros',
    'signature',
    resigned(
      'HS256',
      hmac('sha256', () => Buffer.alloc(32)),
    ),
  ],
  [
    'the kid for a key',
    'signature',
    resigned(
      'HS256',
      hmac('sha256', ({ key }) => key.kid),
    ),
  ],
  ['half of the signature', 'signature', shortened(-16)],
  ['the first byte of the signature', 'signature', shortened(-31)],
  [
    'HS512',
    'algorithm',
    resigned(
      'HS512',
      hmac('sha512', () => ''),
    ),
  ],
  ['none', 'segments', (world) => forge({ ...world.header, alg: 'none' }, world.claims, () => '')],
  ['RS256', 'algorithm', resigned('RS256', byStranger(stranger.privateKey))],
];

function shortened(end: number): (world: World) => string {
  return cut((header, body, signature) => {
    const bytes = Buffer.from(signature, 'base64url').subarray(0, end);
    return `${header}.${body}.${bytes.toString('base64url')}`;
  });
}

function withSignature(change: (bytes: Buffer) => Buffer): (world: World) => string {
  return cut(
    (header, body, signature) =>
      `${header}.${body}.${change(Buffer.from(signature, 'base64url')).toString('base64url')}`,
  );
}

/** Of 2048 bits the last letter holds two that count: A, Q, g or w. */
function nextLetter(letter: string): string {
  return String.fromCharCode(letter.charCodeAt(0) + 1);
}
