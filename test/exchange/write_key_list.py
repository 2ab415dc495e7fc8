"""What a Python program does that rotates its own keys: numeric kids, times in UTC that do not say so.

    python3 write_key_list.py KEYS_JSON

Writes the public keys to KEYS_JSON, and prints a token of each key, the newest first, as tutorials make them.
"""

import json
import sys
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

now = datetime.utcnow()
entries = []
for kid in (2, 1):
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    created_at = now - timedelta(days=30 * (3 - kid))
    entries.append(
        {
            "kid": kid,
            "public_key": private_key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "created_at": created_at.isoformat(),
            "expires_at": str(created_at + timedelta(days=61)),
        }
    )
    claims = {"sub": "anna", "exp": now + timedelta(minutes=30)}
    print(jwt.encode(claims, private_key, algorithm="RS256", headers={"kid": str(kid)}))

with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(entries, file)
