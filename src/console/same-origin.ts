import { KeyturnError } from '../common/errors.js';

interface PostRequest {
  readonly headers: { readonly origin?: string; readonly host?: string; readonly 'sec-fetch-site'?: string };
}

/**
 * A form must come from this site. Browsers say where from: `Sec-Fetch-Site`, or `Origin` in older ones. Nothing said: no browser, and
 * so no form of another site.
 * @throws KeyturnError `cross_origin`
 */
export function refuseCrossOrigin({ headers }: PostRequest): void {
  const site = headers['sec-fetch-site'];
  const from = headers.origin;
  const sameSite = site === undefined || site === 'same-origin' || site === 'none';
  const sameHost = from === undefined || (URL.canParse(from) && new URL(from).host === headers.host);
  if (!sameSite || !sameHost) throw new KeyturnError('cross_origin', 'This form was sent from another site.');
}
