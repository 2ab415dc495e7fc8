import type { SigningKey } from '../../../src/keys/signing-key.js';

const hour = 3_600_000;
export const now = Date.UTC(2026, 10, 1);

/** A row as the ring has it: active, its successor not there yet. */
export const row = (said: Partial<SigningKey>): SigningKey => ({
  version: 3,
  kid: '3-abcdefgh',
  algorithm: 'RS256',
  signs: true,
  origin: 'generated',
  renewedFrom: null,
  activation: 'scheduled',
  publicJwk: null,
  thumbprint: 'x'.repeat(43),
  publishedAt: now - 2 * hour,
  activatesAt: now - hour,
  retiresAt: null,
  expiresAt: null,
  lead: hour,
  maxTokenTtl: hour,
  verifyTail: hour + 60_000,
  revokedAt: null,
  revocationReason: null,
  privateKeyDestroyedAt: null,
  ...said,
});
