/** What a vault signs for: claims of a token, or of a checkpoint of history. */
export type Claims = Readonly<Record<string, unknown>>;

/**
 * Signs with the active key. The local vault opens sealed halves; a token or a KMS that never gives up its keys can be another.
 */
export abstract class KeyVault {
  /** Could it sign at this moment, as far as is known here? */
  abstract canSign(): boolean;

  /**
   * @param typ the JWS header `typ` (RFC 7515 section 4.1.9), such as `at+jwt`
   * @returns a compact JWS with the header members alg, kid and typ, and nothing else
   * @throws KeyturnError `signing_unavailable` when no active key can be opened here
   */
  abstract sign(claims: Claims, typ: string): Promise<string>;
}
