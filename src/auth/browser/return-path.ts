const LONGEST = 2_000;

/**
 * Where a login leads on to: a path of this site, whatever was asked for. Browsers read `//host` and `/\host` as another site, and drop
 * tabs and line breaks before they look; so none of that is taken, as it came or as a browser would resolve it (RFC 3986 section 5.2).
 * @param origin of this site, such as `https://login.example.com`
 * @returns path and query; undefined when it is not one of this site
 */
export function returnPath(asked: string | undefined, origin: string): string | undefined {
  if (asked === undefined || asked.length > LONGEST || !isPath(asked) || !URL.canParse(asked, origin)) return undefined;
  const url = new URL(asked, origin);
  const path = url.pathname + url.search;
  return url.origin === origin && isPath(path) ? path : undefined;
}

const isPath = (text: string): boolean => /^\/(?![/\\])[^\\\p{Cc}]*$/u.test(text) && text.isWellFormed();
