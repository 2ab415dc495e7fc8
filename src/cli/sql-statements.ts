/** Where one statement of SQL ends and the next begins. Bodies that begin with BEGIN ATOMIC are not known. */
export interface SplitSql {
  /** Those that ended with a semicolon, without it, and without what comments stood before. */
  readonly statements: readonly string[];
  /** What comes after the last semicolon; empty when that is white space and comments alone. */
  readonly rest: string;
}

/** The lexical structure of PostgreSQL, as far as it hides semicolons (its manual, section 4.1). Whole ones first, then their beginnings. */
const TOKEN = new RegExp(
  [
    String.raw`(?<nothing>\s+|--[^\n]*)`,
    String.raw`(?<end>;)`,
    String.raw`[eE]'(?:[^'\\]|\\[^]|'')*'(?!')`,
    String.raw`'[^']*'`,
    String.raw`"[^"]*"`,
    String.raw`\$(?<tag>(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[^]*?\$\k<tag>\$`,
    String.raw`(?<comment>/\*)`,
    String.raw`(?<unfinished>[eE]'|'|"|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)`,
    String.raw`[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*`,
    String.raw`[^]`,
  ].join('|'),
  'y',
);

export function splitSql(text: string): SplitSql {
  const statements: string[] = [];
  let [start, at, saysSomething] = [0, 0, false];
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    const { nothing, end, comment, unfinished } = found?.groups ?? {};
    if (unfinished !== undefined) return { statements, rest: text.slice(start) };
    at = TOKEN.lastIndex;
    if (comment !== undefined) {
      const after = endOfComment(text, at);
      if (after === undefined) return { statements, rest: text.slice(start) };
      at = after;
    } else if (end !== undefined) {
      if (saysSomething) statements.push(text.slice(start, at - 1).trim());
      saysSomething = false;
    } else if (nothing === undefined) {
      saysSomething = true;
    }
    if (!saysSomething) start = at;
  }
  return { statements, rest: text.slice(start) };
}

/** Where a comment ends of which the beginning has been read; they nest. */
function endOfComment(text: string, from: number): number | undefined {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  for (let depth = 1; depth > 0;) {
    const found = edge.exec(text);
    if (!found) return undefined;
    depth += found[0] === '/*' ? 1 : -1;
  }
  return edge.lastIndex;
}
