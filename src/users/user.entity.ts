import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Who may log in: the row of `keyturn.users`. */
@Entity({ schema: 'keyturn', name: 'users' })
export class User {
  @PrimaryColumn('uuid') id!: string;
  /** What the person types to log in; may be an e-mail address. Unique ignoring case. */
  @Column('text') username!: string;
  /** Argon2id, PHC string. Null: invited, no password set yet. */
  @Column('text', { name: 'password_hash', nullable: true, select: false }) passwordHash?: string | null;
  /** Free words; `admin` and `auditor` are the product's own. */
  @Column('text', { array: true }) roles!: string[];
  /** Raised by the database when roles or standing change. */
  @Column('integer') ver!: number;
  @Column('timestamptz', { name: 'disabled_at', nullable: true }) disabledAt!: Date | null;
  @Column('timestamptz', { name: 'reset_at', nullable: true }) resetAt!: Date | null;
  @Column('timestamptz', { name: 'password_changed_at', nullable: true }) passwordChangedAt!: Date | null;
  @Column('timestamptz', { name: 'created_at' }) createdAt!: Date;
}
