import { createRemoteJWKSet, jwtVerify } from 'jose';

const issuer = process.argv[2]; // the ISSUER of Keyturn; AUDIENCE is the same unless you set it
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const rules = {
  issuer,
  audience: issuer,
  algorithms: ['RS256'], // KEY_ALGORITHM of Keyturn
  typ: 'at+jwt',
  requiredClaims: ['exp', 'sub', 'client_id', 'roles'],
  clockTolerance: 30,
};

/** Who is asking; throws when the token is not good. */
export async function verify(token) {
  const { payload } = await jwtVerify(token, keys, rules);
  return { id: payload.sub, roles: payload.roles };
}

for (const token of process.argv.slice(3)) {
  console.log(await verify(token).then(JSON.stringify, (error) => error.code));
}
