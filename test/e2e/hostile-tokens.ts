import {
  createHash,
  createHmac,
  generateKeyPairSync,
  privateEncrypt,
  sign,
  constants,
  type KeyObject,
} from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { OpenedKey } from '../support/test-app.js';
import { forge, segment, signedBy, type Signer } from '../support/tokens.js';

/** What a forger may have in hand: everything but luck. `claims` and `header` are those of a token that is good. */
export interface World {
  readonly good: string;
  readonly otherGood: string;
  readonly refreshToken: string;
  /** The signed head of history: ours, genuine, and for something else. Nothing under HMAC keys. */
  readonly checkpoint: string;
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

/** The good claims with one of them written as this text. */
const withClaimText = (name: string, text: string) => (world: World) =>
  wellSigned(world, world.header, `{"${name}":${text},${JSON.stringify(without(world.claims, name)).slice(1)}`);

const payload = (content: string | Buffer) => (world: World) => wellSigned(world, world.header, content);

/** Signed with the real key over exactly these segments. */
const wellSignedAs = (world: World, header: string, body: string): string =>
  `${header}.${body}.${Buffer.from(signedBy(world.key.privateKey)(`${header}.${body}`)).toString('base64url')}`;

/** The JSON of a header or of claims as a segment of two letters too many for its bytes, whose last letter has bits that do not count. */
function withIdleBits(content: object): string {
  let text = JSON.stringify(content);
  while (Buffer.byteLength(text) % 3 !== 1) text += ' ';
  return segment(text).slice(0, -1) + nextLetter(segment(text).slice(-1));
}

/** The same as a segment of a length that no bytes have. */
function withLetterMore(content: object): string {
  let text = JSON.stringify(content);
  while (Buffer.byteLength(text) % 3 !== 0) text += ' ';
  return `${segment(text)}A`;
}

/** The good claims with bytes that are no UTF-8 in a text of them. */
const withBytes = (bytes: readonly number[]) => (world: World) => {
  const [begin = '', end = ''] = JSON.stringify({ ...world.claims, note: '|' }).split('|');
  return wellSigned(world, world.header, Buffer.concat([Buffer.from(begin), Buffer.from(bytes), Buffer.from(end)]));
};

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
  ['alg with a newline behind it', 'alg', withHeader({ alg: 'RS256\n' })],
  ['alg with NUL behind it', 'alg', withHeader({ alg: 'RS256\u0000' })],
  ['alg with a Cyrillic letter', 'alg', withHeader({ alg: 'R\u0405256' })],
  ['alg in full width', 'alg', withHeader({ alg: '\uff32\uff33\uff12\uff15\uff16' })],
  ['alg with half a surrogate pair', 'alg', withHeader({ alg: 'RS256\ud800' })],
  ['alg of two', 'alg', withHeader({ alg: 'RS256,none' })],
  ['alg an object', 'alg', withHeader({ alg: { name: 'RS256' } })],
  ['alg by the name of the hash', 'alg', withHeader({ alg: 'RSA-SHA256' })],
  ['ALG beside alg', 'forbidden_header', withHeaderText('"ALG":"none"')],
  ['alg with a letter in it that nobody sees', 'forbidden_header', withHeaderText('"al\u200dg":"none"')],
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
  ['RS256 said, SHA-1 made', 'signature', resigned('RS256', rsa('sha1', constants.RSA_PKCS1_PADDING))],
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
  ['typ twice, once in disguise', 'duplicate_name', withHeaderText('"\\u0074yp":"JWT"')],
  ['kid twice, once in disguise', 'duplicate_name', withHeaderText('"k\\u0069d":"other"')],
  ['Kid beside kid', 'forbidden_header', withHeaderText('"Kid":"other"')],
  ['typ missing', 'typ', (world) => wellSigned(world, without(world.header, 'typ'), world.claims)],
  ['typ JWT', 'typ', withHeader({ typ: 'JWT' })],
  ['typ of an ID token', 'typ', withHeader({ typ: 'id+jwt' })],
  ['typ with a blank behind it', 'typ', withHeader({ typ: 'at+jwt ' })],
  ['typ with more behind it', 'typ', withHeader({ typ: 'at+jwtx' })],
  ['typ under another tree', 'typ', withHeader({ typ: 'text/at+jwt' })],
  ['typ a list', 'typ', withHeader({ typ: ['at+jwt'] })],
  ['typ with a newline behind it', 'typ', withHeader({ typ: 'at+jwt\n' })],
  ['typ with a parameter', 'typ', withHeader({ typ: 'application/at+jwt; charset=utf-8' })],
  ['typ with its tree twice', 'typ', withHeader({ typ: 'application/application/at+jwt' })],
  ['typ with a Cyrillic letter', 'typ', withHeader({ typ: '\u0430t+jwt' })],
  ['typ with an i without its dot', 'typ', withHeader({ typ: 'appl\u0131cat\u0131on/at+jwt' })],
  ['typ of a logout token', 'typ', withHeader({ typ: 'logout+jwt' })],
  ['typ of a checkpoint', 'typ', withHeader({ typ: 'keyturn-checkpoint+jwt' })],
  ['typ empty', 'typ', withHeader({ typ: '' })],
  ['typ null', 'typ', withHeader({ typ: null })],
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
  ['kid with a blank before it', 'kid', (world) => withHeader({ kid: ` ${world.key.kid}` })(world)],
  ['kid with a line before it', 'kid', (world) => withHeader({ kid: `x\n${world.key.kid}` })(world)],
  ['kid in full width', 'kid', withHeader({ kid: '\uff11-abcdefgh' })],
  ['kid with half a surrogate pair', 'kid', (world) => withHeader({ kid: `${world.key.kid}\ud800` })(world)],
  ['kid that turns the line around', 'kid', (world) => withHeader({ kid: `\u202e${world.key.kid}` })(world)],
  ['kid true', 'kid', withHeader({ kid: true })],
  ['kid with an escape sequence', 'kid', withHeader({ kid: '\u001b[2J' })],
  ['kid for a log', 'kid', withHeader({ kid: '${jndi:ldap://127.0.0.1/x}' })],
  ['kid of 5,000', 'kid', withHeader({ kid: 'a'.repeat(5_000) })],
  ['a header that is a list', 'not_an_object', (world) => wellSigned(world, [], world.claims)],
  ['a header that is a string', 'not_an_object', (world) => wellSigned(world, '"RS256"', world.claims)],
  ['a header that is null', 'not_an_object', (world) => wellSigned(world, 'null', world.claims)],
  ['a header cut off', 'json', (world) => wellSigned(world, JSON.stringify(world.header).slice(0, -1), world.claims)],
  [
    'a header with a byte order mark',
    'json',
    (world) => wellSigned(world, `\uFEFF${JSON.stringify(world.header)}`, world.claims),
  ],
  [
    'a header that is no UTF-8',
    'utf8',
    (world) =>
      wellSignedAs(world, Buffer.from('{"alg":"RS256\xff"}', 'latin1').toString('base64url'), segment(world.claims)),
  ],
  ['a header with a comma too many', 'json', (world) => wellSigned(world, '{"alg":"RS256",}', world.claims)],
  [
    'a header with a comment',
    'json',
    (world) => wellSigned(world, `/**/${JSON.stringify(world.header)}`, world.claims),
  ],
  ['a header in single quotes', 'json', (world) => wellSigned(world, `{'alg':'RS256'}`, world.claims)],
  ['a header with lists 40 deep', 'too_deep', withHeaderText(`"x":${'['.repeat(40)}${']'.repeat(40)}`)],
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
  [
    'a last bit in the header that does not count',
    'base64url',
    (world) => wellSignedAs(world, withIdleBits(world.header), segment(world.claims)),
  ],
  [
    'a last bit in the payload that does not count',
    'base64url',
    (world) => wellSignedAs(world, segment(world.header), withIdleBits(world.claims)),
  ],
  [
    'a header of a length that no bytes have',
    'base64url',
    (world) => wellSignedAs(world, withLetterMore(world.header), segment(world.claims)),
  ],
  [
    'a payload of a length that no bytes have',
    'base64url',
    (world) => wellSignedAs(world, segment(world.header), withLetterMore(world.claims)),
  ],
  ['a no-break space behind it', 'base64url', ({ good }) => `${good}\u00a0`],
  ['a no-break space before it', 'base64url', ({ good }) => `\u00a0${good}`],
  ['a letter beyond ASCII behind it', 'base64url', ({ good }) => `${good}\u00e9`],
  ['a next line behind it', 'base64url', ({ good }) => `${good}\u0085`],
  ['a parameter behind it', 'base64url', ({ good }) => `${good}, realm="keyturn"`],
  ['a fragment behind it', 'base64url', ({ good }) => `${good}#`],
  ['SD-JWT tildes behind it', 'base64url', ({ good }) => `${good}~~`],
  [
    'a payload left out (RFC 7797)',
    'segments',
    (world) => `${segment({ ...world.header, b64: false, crit: ['b64'] })}..${world.good.split('.')[2]}`,
  ],
  ['a percent sign', 'base64url', ({ good }) => good.replace('.', '%2E.')],
  ['more than 8 KiB', 'too_long', withClaims({ note: 'a'.repeat(7_000) })],
  ['a refresh token', 'segments', ({ refreshToken }) => refreshToken],
  ['a refresh token in three parts', 'utf8', ({ refreshToken }) => `${refreshToken}.e30.${refreshToken}`],
  ['the signed head of history', 'typ', ({ checkpoint }) => checkpoint],
  ['the id of a session', 'segments', ({ claims: { sid } }) => String(sid)],
  ['three dots and a good token', 'segments', ({ good }) => `...${good}`],
  ['the word null', 'segments', () => 'null'],
  ['an object in words', 'segments', () => '[object Object]'],
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
  ['a name twice, deep inside and once in disguise', 'duplicate_name', withPayloadText('"x":[[{"a":1,"\\u0061":2}]]')],
  ['a name twice, the second behind blanks', 'duplicate_name', withPayloadText('"exp" \t\r\n :1')],
  ['aud twice, in one list and one text', 'duplicate_name', withPayloadText('"aud":["x"]')],
  ['an overlong slash (UTF-8 of two bytes)', 'utf8', withBytes([0xc0, 0xaf])],
  ['an overlong NUL', 'utf8', withBytes([0xc0, 0x80])],
  ['half a surrogate pair in UTF-8', 'utf8', withBytes([0xed, 0xa0, 0x80])],
  ['a whole surrogate pair in UTF-8 (CESU-8)', 'utf8', withBytes([0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80])],
  ['a character beyond the last', 'utf8', withBytes([0xf4, 0x90, 0x80, 0x80])],
  ['a character cut off', 'utf8', withBytes([0xe2, 0x82])],
  ['a byte out of place', 'utf8', withBytes([0x80])],
  ['claims in UTF-16', 'json', (world) => payload(Buffer.from(JSON.stringify(world.claims), 'utf16le'))(world)],
  ['claims compressed', 'utf8', (world) => payload(gzipSync(JSON.stringify(world.claims)))(world)],
  ['a token for a payload', 'json', (world) => payload(world.good)(world)],
  ['claims with NUL behind them', 'json', (world) => payload(`${JSON.stringify(world.claims)}\u0000`)(world)],
  ['claims behind a no-break space', 'json', (world) => payload(`\u00a0${JSON.stringify(world.claims)}`)(world)],
  ['a comma too many', 'json', (world) => payload(`${JSON.stringify(world.claims).slice(0, -1)},}`)(world)],
  ['NaN', 'json', withPayloadText('"x":NaN')],
  ['Infinity', 'json', withPayloadText('"x":Infinity')],
  ['a number with a zero before it', 'json', withPayloadText('"x":01')],
  ['a number in hexadecimal', 'json', withPayloadText('"x":0x10')],
  ['a newline in a text', 'json', withPayloadText('"x":"\n"')],
  [
    'sub in a prototype alone',
    'claim:sub',
    (world) =>
      wellSigned(
        world,
        world.header,
        `{"__proto__":{"sub":"${String(world.claims['sub'])}"},${JSON.stringify(without(world.claims, 'sub')).slice(1)}`,
      ),
  ],
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
    ['two to the 53rd', '9007199254740992'],
    ['very large', '1e300'],
    ['very small', '1e-300'],
    ['false', 'false'],
    ['an empty text', '""'],
    ['an empty list', '[]'],
    ['an object', '{"$gt":0}'],
  ].map(([what = '', text = '']): Hostile => [`${name} ${what}`, `claim:${name}`, withClaimText(name, text)]);

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
  ['exp minus zero', 'lifetime', withClaimText('exp', '-0')],
  ['exp 1e3', 'lifetime', withClaimText('exp', '1e3')],
  ['exp in milliseconds', 'lifetime', (world) => withClaims({ exp: seconds(world, 'exp') * 1_000 })(world)],
  ['iat minus zero', 'outside_key_window', withClaimText('iat', '-0')],
  ['ver minus zero', 'user_changed', withClaimText('ver', '-0')],
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
  ['iss null', 'claim:iss', withClaims({ iss: null })],
  ['iss with a newline behind it', 'issuer', (world) => withClaims({ iss: `${String(world.claims['iss'])}\n` })(world)],
  ['iss with NUL behind it', 'issuer', (world) => withClaims({ iss: `${String(world.claims['iss'])}\u0000` })(world)],
  [
    'iss with a user before the host',
    'issuer',
    (world) => withClaims({ iss: String(world.claims['iss']).replace('//', '//x@') })(world),
  ],
  ['iss that begins with ours', 'issuer', (world) => withClaims({ iss: `${String(world.claims['iss'])}0` })(world)],
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
  ['aud null', 'claim:aud', withClaims({ aud: null })],
  ['aud a list of lists', 'claim:aud', (world) => withClaims({ aud: [[world.claims['aud']]] })(world)],
  ['aud a list with null', 'claim:aud', (world) => withClaims({ aud: [world.claims['aud'], null] })(world)],
  ['aud a list with an object', 'claim:aud', (world) => withClaims({ aud: [world.claims['aud'], {}] })(world)],
  ['aud a list of an empty text', 'audience', withClaims({ aud: [''] })],
  ['aud in capitals', 'audience', (world) => withClaims({ aud: String(world.claims['aud']).toUpperCase() })(world)],
  [
    'aud with a newline behind it',
    'audience',
    (world) => withClaims({ aud: [`${String(world.claims['aud'])}\n`] })(world),
  ],
  ['aud of two with a comma', 'audience', (world) => withClaims({ aud: `${String(world.claims['aud'])},x` })(world)],
  ['aud a pattern', 'audience', withClaims({ aud: '*' })],
  ['sub empty', 'claim:sub', withClaims({ sub: '' })],
  ['sub a number', 'claim:sub', withClaims({ sub: 1 })],
  ['sub some SQL', 'session', withClaims({ sub: `' OR 1=1 --` })],
  ['sub of nobody', 'session', withClaims({ sub: '00000000-0000-4000-8000-000000000000' })],
  ['sub a list', 'claim:sub', (world) => withClaims({ sub: [world.claims['sub']] })(world)],
  [
    'sub with a newline behind it',
    'session',
    (world) => withClaims({ sub: `${String(world.claims['sub'])}\n` })(world),
  ],
  ['sub half a surrogate pair', 'session', withClaims({ sub: '\ud800' })],
  ['sub a prototype', 'session', withClaims({ sub: '__proto__' })],
  ['sid with NUL in it', 'session', (world) => withClaims({ sid: `${String(world.claims['sid'])}\u0000` })(world)],
  ['sid half a surrogate pair', 'session', withClaims({ sid: '\udfff' })],
  ['sid a prototype', 'session', withClaims({ sid: '__proto__' })],
  ['sid in braces', 'session', (world) => withClaims({ sid: `{${String(world.claims['sid'])}}` })(world)],
  ['sid null', 'claim:sid', withClaims({ sid: null })],
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
  ['roles null', 'claim:roles', withClaims({ roles: null })],
  ['roles true', 'claim:roles', withClaims({ roles: true })],
  ['roles a list of lists', 'claim:roles', withClaims({ roles: [['admin']] })],
  ['roles a list with null', 'claim:roles', withClaims({ roles: [null] })],
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
  ['a zero before the signature', 'signature', withSignature((bytes) => Buffer.concat([Buffer.alloc(1), bytes]))],
  ['a zero behind the signature', 'signature', withSignature((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]))],
  ['the signature and the modulus added', 'signature', addedToSignature],
  ['the signature backwards', 'signature', withSignature((bytes) => Buffer.from(bytes.toReversed()))],
  [
    'a signature over the claims without the header',
    'signature',
    (world) =>
      forge(world.header, world.claims, (input) => signedBy(world.key.privateKey)(input.slice(input.indexOf('.') + 1))),
  ],
  [
    'a signature over what the segments mean',
    'signature',
    (world) =>
      forge(world.header, world.claims, () =>
        signedBy(world.key.privateKey)(`${JSON.stringify(world.header)}.${JSON.stringify(world.claims)}`),
      ),
  ],
  [
    'a signature whose digest does not say of which hash it is',
    'signature',
    (world) =>
      forge(world.header, world.claims, (input) =>
        privateEncrypt(world.key.privateKey, createHash('sha256').update(input).digest()),
      ),
  ],
  [
    'a signature with too little padding and more behind the digest',
    'signature',
    (world) => forge(world.header, world.claims, (input) => withLooseDigest(world, input)),
  ],
  [
    "another issuer's token under our kid",
    'signature',
    (world) => forge(world.header, { ...world.claims, iss: 'https://other.example' }, signedBy(stranger.privateKey)),
  ],
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

/** The order of the group of P-256, which is zero there. */
const P256 = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
const ONE = Buffer.concat([Buffer.alloc(31), Buffer.from([1])]);

/** The same over a ring of ES256. */
export const HOSTILE_ES256_TOKENS: readonly Hostile[] = [
  ['r = s = 0', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(64))],
  ['r = 0', 'signature', withSignature((bytes) => Buffer.concat([Buffer.alloc(32), bytes.subarray(32)]))],
  ['s = 0', 'signature', withSignature((bytes) => Buffer.concat([bytes.subarray(0, 32), Buffer.alloc(32)]))],
  ['r and s of all ones', 'signature', (world) => forge(world.header, world.claims, () => Buffer.alloc(64, 0xff))],
  [
    'r and s of the order',
    'signature',
    (world) => forge(world.header, world.claims, () => Buffer.concat([P256, P256])),
  ],
  ['s of the order', 'signature', withSignature((bytes) => Buffer.concat([bytes.subarray(0, 32), P256]))],
  ['r = s = 1', 'signature', (world) => forge(world.header, world.claims, () => Buffer.concat([ONE, ONE]))],
  ['no r', 'signature', withSignature((bytes) => bytes.subarray(32))],
  ['a signature of 32 zeros more', 'signature', withSignature((bytes) => Buffer.concat([bytes, Buffer.alloc(32)]))],
  [
    'HS256 over the coordinates',
    'algorithm',
    resigned(
      'HS256',
      hmac('sha256', ({ key }) => Buffer.from(key.publicJwk?.x ?? '', 'base64url')),
    ),
  ],
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

const modulus = ({ key }: World): bigint =>
  BigInt(`0x${Buffer.from(key.publicJwk?.n ?? '', 'base64url').toString('hex')}`);

/** The good token with a signature that means the same modulo the modulus, and is not below it. */
function addedToSignature(world: World): string {
  return withSignature((bytes) => {
    const sum = (BigInt(`0x${bytes.toString('hex')}`) + modulus(world)).toString(16);
    return Buffer.from(sum.padStart(sum.length + (sum.length % 2), '0'), 'hex');
  })(world);
}

/** SHA-256 in DigestInfo (RFC 8017 section 9.2). */
const SHA256_DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** What a lenient verifier, which reads the padding and then stops at the digest, takes for good (CVE-2006-4339). */
function withLooseDigest({ key }: World, input: string): Buffer {
  const digest = Buffer.concat([SHA256_DIGEST_INFO, createHash('sha256').update(input).digest()]);
  const begin = Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(8, 0xff), Buffer.from([0]), digest]);
  const block = Buffer.concat([begin, Buffer.alloc(256 - begin.length, 0x41)]);
  return privateEncrypt({ key: key.privateKey, padding: constants.RSA_NO_PADDING }, block);
}
