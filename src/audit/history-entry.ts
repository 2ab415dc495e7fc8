import { z } from 'zod';

/** The members of one key or user, as `to_jsonb` writes them in UTC. */
export type Facts = Readonly<Record<string, unknown>>;

/** A row of `audit.chain`: what is proven, and the columns that Postgres derived from `entry`. */
export interface ChainRow {
  readonly seq: number;
  readonly prevHash: string;
  readonly entry: string;
  readonly hash: string;
  readonly columns: {
    /** ISO 8601 with milliseconds, in UTC. */
    readonly at: string;
    readonly event: string;
    readonly version: number | null;
    readonly subject: string | null;
    readonly actor: string | null;
  };
}

const facts = z.record(z.string(), z.unknown()).nullable();
const entrySchema = z.strictObject({
  at: z.iso.datetime({ precision: 3 }),
  event: z.string(),
  version: z.int().nullable(),
  kid: z.string().nullable(),
  subject: z.guid().nullable(),
  actor: z.guid().nullable(),
  reason: z.string().nullable(),
  request_id: z.string().nullable(),
  session_user: z.string(),
  client_addr: z.string().nullable(),
  application_name: z.string(),
  old: facts,
  new: facts,
});

/** What one event says. */
export type HistoryEntry = z.output<typeof entrySchema>;

/** @returns undefined when the text is no entry that Keyturn writes */
export function readEntry(text: string): HistoryEntry | undefined {
  try {
    return entrySchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
