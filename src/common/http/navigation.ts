/** The part of a request by which a person who goes to a page is told from a program that calls a route. */
export interface NavigationHeaders {
  readonly accept?: string | undefined;
}

/** Does a person wait for a page? Browsers then ask for HTML by name; API clients, and scripts unless they want a page, do not. */
export const wantsPage = ({ accept = '' }: NavigationHeaders): boolean =>
  /(^|,)\s*text\/html\s*(;(?!\s*q=0(\.0*)?\s*(,|$))|,|$)/i.test(accept);
