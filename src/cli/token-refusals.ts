/** Why a token is refused, for a person. Over HTTP nobody is told. */
const WORDS: Readonly<Record<string, string>> = {
  too_long: 'it is longer than 8 KiB',
  segments: 'it has not three parts with dots between them',
  base64url: 'a part is not canonical base64url; perhaps something was lost or added in copying',
  utf8: 'a part is not UTF-8',
  too_deep: 'its JSON nests too deep',
  json: 'a part is not JSON',
  not_an_object: 'a part is not a JSON object',
  duplicate_name: 'its JSON names a member twice',
  crit: 'its header demands something that we do not understand (crit)',
  forbidden_header: 'its header has more than alg, kid and typ',
  typ: 'its header says no typ at+jwt',
  alg: 'its alg is none that a signing key has',
  kid: 'its header names no kid of the agreed shape',
  unknown_kid: 'no key that verifies now signed it',
  algorithm: 'its alg is not that of its key',
  signature: 'the signature is wrong: altered, or signed by another key of that name',
  key_not_good: 'its key does not verify at this moment',
  issuer: 'its iss is not ours. Is ISSUER the same here as on the server?',
  audience: 'its aud does not name us. Is AUDIENCE the same here as on the server?',
  outside_key_window: 'it says it was issued when its key did not sign',
  lifetime: 'it lives longer than its key allows',
  issued_in_the_future: 'it says it was issued in the future',
  not_yet: 'its nbf has not come',
  expired: 'its exp has passed',
  session: 'its session has ended, or never was',
  user_changed: "the user's roles or standing have changed since; a refresh gives a new one",
};

export const refusalInWords = (reason: string): string =>
  WORDS[reason] ??
  (reason.startsWith('claim:') ? `its claim ${reason.slice(6)} is missing or of the wrong type` : reason);
