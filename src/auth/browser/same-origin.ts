import { KeyturnError } from '../../common/errors.js';

/** What browsers say of where a request comes from. Scripts cannot set either (Fetch Metadata; RFC 6454 section 7). */
export interface OriginRequest {
  readonly headers: { readonly origin?: string | undefined; readonly 'sec-fetch-site'?: string | string[] | undefined };
}

/**
 * For what cookies allow: it must be proven to come from a page of ours. `Sec-Fetch-Site` proves it where the browser sends it, `Origin` in
 * older ones; neither may contradict. `Origin: null` says nothing: a page of ours may send it where an extension or a proxy has made its
 * Referrer-Policy stricter. Silence proves nothing.
 * @throws KeyturnError `cross_origin`
 */
export function wantSameOrigin(
  { headers: { origin: from, 'sec-fetch-site': site } }: OriginRequest,
  origin: string,
): void {
  const named = from === 'null' ? undefined : from;
  const proven = site === undefined ? named !== undefined : site === 'same-origin';
  if (!proven || (named !== undefined && named !== origin))
    throw new KeyturnError('cross_origin', `This was not sent from a page of ${origin}.`);
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
