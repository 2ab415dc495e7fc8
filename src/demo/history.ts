import pg from 'pg';
import { table } from '../cli/table.js';
import { expectThat } from './expectation.js';
import type { Screen } from './screen.js';

interface Event {
  readonly seq: string;
  readonly kid: string;
  readonly what: string;
  readonly who: string;
  readonly reason: string | null;
  readonly event: string;
}

const QUESTION = 'SELECT seq, kid, what, who, reason FROM audit.key_history';
const FORBIDDEN = 'SELECT sealed FROM keyturn.signing_key_secrets';

/** What the auditor finds in the database, and what not. */
export async function tellHistory(
  screen: Screen,
  auditorUrl: string,
  told: { readonly first: string; readonly second: string; readonly who: string },
): Promise<void> {
  const client = new pg.Client({
    connectionString: auditorUrl,
    application_name: 'keyturn demo',
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await showEvents(client, screen, told);
    await showLimits(client, screen);
  } finally {
    await client.end();
  }
}

async function showEvents(
  client: pg.Client,
  screen: Screen,
  { first, second, who }: { first: string; second: string; who: string },
): Promise<void> {
  screen.sent(QUESTION);
  const { rows } = await client.query<Event>(QUESTION.replace(' FROM', ', event FROM'));
  const cells = rows.map((row) => [row.seq, row.kid, row.what, row.who, row.reason]);
  for (const line of table(['seq', 'kid', 'what', 'who', 'reason'], cells).split('\n')) screen.detail(line);

  const has = (kid: string, event: string, by?: string): boolean =>
    rows.some((row) => row.kid === kid && row.event === event && (by === undefined || row.who === by));
  expectThat(screen, `${first} began it`, has(first, 'bootstrapped'), rows);
  expectThat(screen, `${second} took over by force, asked by ${who}`, has(second, 'taken_over_forced', who), rows);
  expectThat(screen, `${first} was revoked by ${who}`, has(first, 'revoked', who), rows);
}

async function showLimits(client: pg.Client, screen: Screen): Promise<void> {
  screen.say('The auditor reads history, and nothing that is secret:');
  screen.sent(FORBIDDEN);
  const refusal = await client.query(FORBIDDEN).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (refusal instanceof Error) screen.answered(refusal.message, false);
  const refused = refusal instanceof pg.DatabaseError && refusal.code === '42501';
  expectThat(screen, 'the database itself refuses', refused, String(refusal));
}
