/*
 * What JSON.parse does not look at: how deep a text nests, and whether an object names a member twice.
 * JSON.parse keeps the last of two equal names, other parsers the first, and a forger lives in between (RFC 7515 §4).
 * Both scans are linear and do not recurse.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** Whether arrays and objects nest deeper than `bound`. Safe on any text; call it before JSON.parse. */
export function nestsDeeperThan(text: string, bound: number): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > bound) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
    }
  }
  return false;
}

/**
 * Whether any object in the text, at any depth, holds a member name twice, compared after unescaping.
 * @param text JSON that JSON.parse has accepted; on anything else the answer means nothing.
 */
export function hasDuplicateNames(text: string): boolean {
  const open: Set<string>[] = []; // the names met so far in each array (none) or object that is still open
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        // In valid JSON a string is a name exactly when a colon follows it.
        if (text.charCodeAt(skipWhitespace(text, end + 1)) === COLON) {
          const names = open.at(-1);
          const name = unescapeName(text.slice(at, end + 1));
          if (names?.has(name)) return true;
          names?.add(name);
        }
        at = end;
        break;
      }
      case 0x5b: // [
      case 0x7b: // {
        open.push(new Set());
        break;
      case 0x5d: // ]
      case 0x7d: // }
        open.pop();
        break;
    }
  }
  return false;
}

/** Where the string that opens at `start` closes; the last character when it never does. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) return at;
    if (unit === BACKSLASH) at++;
  }
  return text.length - 1;
}

function skipWhitespace(text: string, start: number): number {
  let at = start;
  while (' \t\n\r'.includes(text.charAt(at)) && at < text.length) at++;
  return at;
}

function unescapeName(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
}
