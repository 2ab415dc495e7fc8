import type { JWK } from 'jose';
import { Column, Entity, PrimaryColumn, type ValueTransformer } from 'typeorm';
import type { Activation, Algorithm, Instant, Origin, SigningKey } from '../signing-key.js';

const instant: ValueTransformer = {
  // 'infinity' comes as a number: one such row must not keep the others from being read.
  from: (value: Date | number | null): Instant | null => value?.valueOf() ?? null,
  to: (value: Instant | null): Date | null => (value === null ? null : new Date(value)),
};

interface Interval {
  hours?: number;
  minutes?: number;
  seconds?: number;
  milliseconds?: number;
}

const duration: ValueTransformer = {
  from: ({ hours = 0, minutes = 0, seconds = 0, milliseconds = 0 }: Interval): number =>
    ((hours * 60 + minutes) * 60 + seconds) * 1_000 + milliseconds,
  to: (value: number): string => `${value} milliseconds`,
};

/** The row of `keyturn.signing_keys`. Implements the domain type, so that a missing column does not compile. */
@Entity({ schema: 'keyturn', name: 'signing_keys' })
export class SigningKeyRow implements SigningKey {
  @PrimaryColumn('integer') version!: number;
  @Column('text') kid!: string;
  @Column('text') algorithm!: Algorithm;
  @Column('boolean') signs!: boolean;
  @Column('text') origin!: Origin;
  @Column('integer', { name: 'renewed_from', nullable: true }) renewedFrom!: number | null;
  @Column('text', { nullable: true }) activation!: Activation | null;
  @Column('jsonb', { name: 'public_jwk', nullable: true }) publicJwk!: JWK | null;
  @Column('text', { nullable: true }) thumbprint!: string | null;
  @Column('timestamptz', { name: 'published_at', transformer: instant }) publishedAt!: Instant;
  @Column('timestamptz', { name: 'activates_at', transformer: instant }) activatesAt!: Instant;
  @Column('timestamptz', { name: 'retires_at', nullable: true, transformer: instant }) retiresAt!: Instant | null;
  @Column('timestamptz', { name: 'expires_at', nullable: true, transformer: instant }) expiresAt!: Instant | null;
  @Column('interval', { transformer: duration }) lead!: number;
  @Column('interval', { name: 'max_token_ttl', transformer: duration }) maxTokenTtl!: number;
  @Column('interval', { name: 'verify_tail', transformer: duration }) verifyTail!: number;
  @Column('timestamptz', { name: 'revoked_at', nullable: true, transformer: instant }) revokedAt!: Instant | null;
  @Column('text', { name: 'revocation_reason', nullable: true }) revocationReason!: string | null;
  @Column('timestamptz', { name: 'private_key_destroyed_at', nullable: true, transformer: instant })
  privateKeyDestroyedAt!: Instant | null;
}
