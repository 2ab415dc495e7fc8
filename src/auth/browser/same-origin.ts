import { KeyturnError } from '../../common/errors.js';

/** What browsers say of where a request comes from. Scripts cannot set either (Fetch Metadata; RFC 6454 section 7). */
export interface OriginRequest {
  readonly headers: { readonly origin?: string | undefined; readonly 'sec-fetch-site'?: string | string[] | undefined };
}

const refusal = (): KeyturnError => new KeyturnError('cross_origin', 'This was not sent from a page of this site.');

/**
 * For what cookies allow: it must be proven to come from a page of ours. `Sec-Fetch-Site` decides where the browser sends it, since pages
 * that tell no referrer send `Origin: null`; `Origin` does in older ones. Silence proves nothing.
 * @throws KeyturnError `cross_origin`
 */
export function wantSameOrigin({ headers }: OriginRequest, origin: string): void {
  const site = headers['sec-fetch-site'];
  if (site === undefined ? headers.origin !== origin : site !== 'same-origin') throw refusal();
}

/**
 * For a form that needs no cookie: whatever says that it comes from elsewhere is refused. Nothing said: no browser, and so no form of
 * another site. `none` is a person who sends a form once more.
 * @throws KeyturnError `cross_origin`
 */
export function refuseCrossOrigin(request: OriginRequest, origin: string): void {
  const { origin: from, 'sec-fetch-site': site } = request.headers;
  if ((site === undefined && from === undefined) || site === 'none') return;
  wantSameOrigin(request, origin);
}
