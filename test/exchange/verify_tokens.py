"""What a Python program does with our tokens: load a key list, pick the entry by the header's kid, decode.

    python3 verify_tokens.py KEYS_JSON AUDIENCE < tokens

Prints, for each token, its subject or the name of the error.
"""

import json
import sys

import jwt

with open(sys.argv[1], encoding="utf-8") as file:
    keys = {entry["kid"]: entry["public_key"] for entry in json.load(file)}

for token in sys.stdin.read().split():
    try:
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["RS256"], audience=sys.argv[2])
        print(claims["sub"])
    except (KeyError, jwt.PyJWTError) as error:
        print(type(error).__name__)
