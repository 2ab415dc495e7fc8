import type { INestApplicationContext } from '@nestjs/common';
import { Command } from 'commander';
import { DataSource } from 'typeorm';
import { HistoryStore } from '../audit/history-store.js';
import { CONFIG, type Config } from '../config/config.js';
import { DatabaseClock } from '../database/database-clock.js';
import { News } from '../database/news.js';
import type { OpenDatabase } from '../database/open-database.js';
import { shutStandby } from '../keys/planning/plan-keys.js';
import { Replicas } from '../keys/replicas/replicas.js';
import { LIVE } from '../keys/replicas/liveness.js';
import { isHmac, signerAmong, standbyAmong, type SigningKey } from '../keys/signing-key.js';
import { SigningKeyStore } from '../keys/store/signing-key-store.js';
import { CannotOpen } from '../keys/vault/key-encryption-keys.js';
import { KeySealing } from '../keys/vault/key-sealing.js';
import { readerAs, withClient } from './client.js';
import { CommandError } from './command-error.js';
import { withContext } from './context.js';
import { print, printJson } from './output.js';
import { printable } from '../common/printable.js';
import { moment } from './relative-time.js';

/** Something that was looked at, in a sentence for a person. */
interface Finding {
  readonly ok: boolean;
  readonly what: string;
}
const well = (what: string): Finding => ({ ok: true, what });
const wrong = (what: string): Finding => ({ ok: false, what });

export const doctorCommand = (): Command =>
  new Command('doctor')
    .description('is anything wrong? Configuration, roles, clock, keys and history, in words')
    .option('--json', 'for scripts')
    .addHelpText(
      'after',
      '\nLooks and changes nothing. Exit code 1 when something is wrong. Whether the history is whole, audit verify says.',
    )
    .action(({ json }: { json?: boolean }) =>
      withContext(
        async (context, database) => {
          const findings = await examine(context, database);
          if (json) printJson({ ok: findings.every(({ ok }) => ok), findings });
          else for (const { ok, what } of findings) print(`${ok ? 'ok   ' : 'WRONG'}  ${printable(what)}`);
          const bad = findings.filter(({ ok }) => !ok).length;
          if (bad > 0) throw new CommandError('unhealthy', `${bad} of ${findings.length} are wrong.`);
        },
        { custody: true },
      ),
    );

/** Whoever comes here has a configuration that can be read, and a database that is migrated: the rest ended with a sentence. */
async function examine(context: INestApplicationContext, database: OpenDatabase): Promise<readonly Finding[]> {
  const config = context.get<Config>(CONFIG);
  await context.get(News).check(); // sets the clock
  return [
    well(`the configuration can be used${config.production ? ', in production' : ''}`),
    well(`${database.description}, migrated, serving as ${database.user}`),
    ...database.warnings.map(wrong),
    await auditor(database),
    clock(context.get(DatabaseClock), config),
    await servers(context),
    ...(await keys(context)),
    await history(context),
  ];
}

/** May the auditor read the history, and nothing that is secret? */
async function auditor({ url, auditorUrl }: OpenDatabase): Promise<Finding> {
  if (auditorUrl === undefined) return well('AUDITOR_DATABASE_URL is not set: nobody was looked for');
  const rights = await withClient(readerAs('auditor', { url, auditorUrl }), 'keyturn doctor', (client) =>
    client.query<{ reads: boolean; too_much: boolean }>(
      `SELECT has_schema_privilege('audit', 'USAGE') AND has_table_privilege('audit.chain', 'SELECT') AS reads,
        has_schema_privilege('keyturn', 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS too_much`,
    ),
  ).catch((error: unknown) => (error instanceof Error ? error.message : 'unknown error'));
  if (typeof rights === 'string') return wrong(rights);
  const [row] = rights.rows;
  if (!row?.reads) return wrong('the role of AUDITOR_DATABASE_URL may not read schema audit: give it keyturn_auditor');
  return row.too_much
    ? wrong('the role of AUDITOR_DATABASE_URL may read more than schema audit: give it keyturn_auditor')
    : well('the auditor reads schema audit, and nothing else');
}

function clock(databaseClock: DatabaseClock, { keys: { clockSkew } }: Config): Finding {
  const ahead = Math.round(databaseClock.wallClockAhead());
  const said = `this machine's clock is ${Math.abs(ahead)} ms ${ahead < 0 ? 'behind' : 'ahead of'} the database's`;
  return Math.abs(ahead) <= clockSkew
    ? well(said)
    : wrong(`${said}: tokens go by the database's, but logs and other programs do not`);
}

async function servers(context: INestApplicationContext): Promise<Finding> {
  const [row] = await context.get(DataSource).query<{ live: number; behind: number }[]>(
    `SELECT count(*)::integer AS live, count(*) FILTER (WHERE generation < keyturn.key_generation())::integer AS behind
     FROM keyturn.replicas WHERE ${LIVE}`,
  );
  const { live, behind } = row ?? { live: 0, behind: 0 };
  if (behind > 0) return wrong(`${behind} of ${live} running servers do not know the newest keys: look at their logs`);
  return well(live === 0 ? 'no server is running' : `${live} running, all with the newest keys`);
}

async function keys(context: INestApplicationContext): Promise<readonly Finding[]> {
  const { keys: stored } = await context.get(SigningKeyStore).load();
  const all = stored.map(({ key }) => key);
  const now = context.get(DatabaseClock).now();
  const [signer, standby] = [signerAmong(all, now), standbyAmong(all, now)];
  const sealing = context.get(KeySealing);
  const unreadable = (wanted: SigningKey): Finding[] => {
    const sealed = stored.find(({ key }) => key.version === wanted.version)?.sealed;
    if (!sealed) return [wrong(`the private half of ${wanted.kid} is not there`)];
    try {
      sealing.open(wanted, sealed);
      return [];
    } catch (error) {
      if (!(error instanceof CannotOpen)) throw error;
      return [wrong(`the private half of ${wanted.kid} cannot be opened: ${error.message}. Check KEK_FILE`)];
    }
  };
  return [
    signer
      ? well(`${signer.kid} signs, ${signer.algorithm}, since ${moment(signer.activatesAt, now)}`)
      : wrong('no key is active, and nothing can be signed: start a server that holds the key-encryption key'),
    ...successor(signer, standby, now, standby !== undefined && (await context.get(Replicas).shut(standby.version))),
    ...[signer, standby].flatMap((key) => (key ? unreadable(key) : [])),
    ...(signer && isHmac(signer.algorithm)
      ? [wrong(`the head of history is not signed: ${signer.kid} is an ${signer.algorithm} key`)]
      : []),
  ];
}

function successor(
  signer: SigningKey | undefined,
  standby: SigningKey | undefined,
  now: number,
  isShut: boolean,
): readonly Finding[] {
  if (!standby)
    return [
      wrong('no standby is published, and nothing can take over: a running server publishes one within a minute'),
    ];
  if (isShut) return [wrong(shutStandby(standby.kid))];
  if (!signer) return [well(`${standby.kid} waits, and takes over as soon as a server starts that opens it`)];
  return [well(`${standby.kid} takes over ${moment(standby.activatesAt, now)}`)];
}

async function history(context: INestApplicationContext): Promise<Finding> {
  const store = new HistoryStore(context.get(DataSource));
  const [head, signed] = [await store.head(), await store.newestCheckpoint()];
  const lost = await store.lostCheckpoint(0);
  if (lost) return wrong(`row ${lost.seq} of the history is not what was signed: type keyturn audit verify`);
  if (!head) return well('the history is empty');
  if (!signed) return wrong(`the history has ${head.seq} rows, and none is signed: a running server signs the newest`);
  return signed.seq === head.seq
    ? well(`the history has ${head.seq} rows, the newest is signed`)
    : wrong(`the newest ${head.seq - signed.seq} rows of the history are not signed: a running server signs them`);
}
