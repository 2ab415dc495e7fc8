/** Never shown, not even in part. */
const HIDDEN = new Set(['password']);
/** Shown by their first characters, which are the same for everybody or public. */
const CUT = new Set(['access_token', 'refresh_token', 'n']);
/** True, and no part of the story. */
const LEFT_OUT = new Set(['type', 'title', 'status', 'requestId', 'e']);
const SHOWN = 12;

/** The beginning of a token: its header, which is no secret. */
export const tokenForEyes = (token: string): string => `${token.slice(0, SHOWN)}…`;

/** A body as JSON, without passwords and whole tokens. */
export function bodyForEyes(body: unknown): string {
  return JSON.stringify(body, (name, value: unknown) => {
    if (HIDDEN.has(name)) return '…';
    if (LEFT_OUT.has(name)) return undefined;
    return CUT.has(name) && typeof value === 'string' ? tokenForEyes(value) : value;
  });
}
