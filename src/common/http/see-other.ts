/** Thrown where a page leads on to another one: 303 (RFC 9110 section 15.4.4). */
export class SeeOther extends Error {
  override readonly name = 'SeeOther';

  /** @param location of this site: a path, or below the issuer */
  constructor(readonly location: string) {
    super(`See ${location}`);
  }
}
