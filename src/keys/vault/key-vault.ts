import type { RingKey } from '../ring/key-ring.js';

/** What a vault signs for: claims of a token, or of a checkpoint of history. */
export type Claims = Readonly<Record<string, unknown>>;

/**
 * Signs with the key that its caller found to be active, so that claims and signature are of the same one. The local vault opens
 * sealed halves; a token or a KMS that never gives up its keys can be another.
 */
export abstract class KeyVault {
  /** Could it sign with this key at this moment, as far as is known here? */
  abstract canSign(signer: RingKey): boolean;

  /**
   * @param signer the active key of the ring
   * @param typ the JWS header `typ` (RFC 7515 section 4.1.9), such as `at+jwt`
   * @returns a compact JWS with the header members alg, kid and typ, and nothing else
   * @throws KeyturnError `signing_unavailable` when the key cannot be used here
   */
  abstract sign(signer: RingKey, claims: Claims, typ: string): Promise<string>;
}
