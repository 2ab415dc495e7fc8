import json
import sys

import jwt

issuer = sys.argv[1]  # the ISSUER of Keyturn; AUDIENCE is the same unless you set it
keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")


def verify(token):
    """Who is asking; raises jwt.PyJWTError when the token is not good."""
    if jwt.get_unverified_header(token).get("typ", "").lower() != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],  # KEY_ALGORITHM of Keyturn
        issuer=issuer,
        audience=issuer,
        leeway=30,
        options={"require": ["exp", "iss", "aud", "sub", "client_id", "roles"]},
    )
    return {"id": claims["sub"], "roles": claims["roles"]}


for token in sys.argv[2:]:
    try:
        print(json.dumps(verify(token)))
    except jwt.PyJWTError as error:
        print(type(error).__name__)
