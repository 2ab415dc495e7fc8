import type { INestApplicationContext } from '@nestjs/common';
import { Command, InvalidArgumentError, Option } from 'commander';
import { iso } from '../common/iso.js';
import { CONFIG, type Config } from '../config/config.js';
import { ALGORITHMS } from '../config/settings.js';
import type { FoundKey } from '../keys/exchange/found-key.js';
import type { ImportWishes, ImportWorld } from '../keys/exchange/import-rules.js';
import { parseInstant } from '../keys/exchange/instant-text.js';
import { readKeyFile, refuseIfOthersMayRead } from '../keys/exchange/key-file.js';
import { planAdmission } from '../keys/exchange/plan-admission.js';
import { planStandby } from '../keys/exchange/plan-standby.js';
import { readKeys } from '../keys/exchange/read-keys.js';
import { isEncryptedPem } from '../keys/exchange/read-pem.js';
import { KeyAdmission } from '../keys/operations/key-admission.js';
import { SigningKeyStore } from '../keys/store/signing-key-store.js';
import { readSecret } from './ask.js';
import { withContext } from './context.js';
import { replaceStandby } from './keys-replace.commands.js';
import { print, printJson } from './output.js';
import { withProgress } from './progress.js';
import { moment } from './relative-time.js';

interface Options extends ImportWishes {
  readonly verifyOnly?: boolean;
  readonly passphraseFile?: string;
  readonly reason?: string;
  readonly json?: boolean;
}

const instant = (text: string): number => {
  const at = parseInstant(text);
  if (at === undefined) throw new InvalidArgumentError('A time is such as 2026-11-01 or 2026-11-01T09:30:00Z.');
  return at;
};

const HELP = `
FILE is PEM (PKCS#1, PKCS#8, SEC1; SPKI for --verify-only), a JWK, a JWKS, or a keys.json list:
  [{"kid": "1", "public_key": "-----BEGIN PUBLIC KEY…", "created_at": "…", "expires_at": "…"}]
Numeric kids become text, times without a zone are UTC. A private key becomes the standby: it is public at once and takes over
when the standby before it would have, or later, so that caches know it. Public keys only verify, until they expire; those that
have expired already are passed over.

Examples:
  keyturn keys import old-key.pem --reason "moving in"
  keyturn keys import old-key.jwk --kid 2024-main --algorithm PS256
  keyturn keys import encrypted.pem --passphrase-file /run/secrets/passphrase
  keyturn keys import keys.json --verify-only
  keyturn keys import partner.pem --verify-only --kid partner-1 --expires-at 2027-01-01`;

export const keysImportCommand = (): Command =>
  new Command('import')
    .description('a pair from a file becomes the standby; with --verify-only, public keys that verify and never sign')
    .argument('<file>', 'a file with a private key must be readable by you alone')
    .option('--verify-only', 'public keys, to verify tokens signed elsewhere')
    .option('--expires-at <time>', 'with --verify-only, for keys that the file gives no end', instant)
    .option('--kid <kid>', 'what the key is called; default: as the file says, else a kid of ours')
    .addOption(
      new Option('--algorithm <name>', 'default: as the file says, else RS256 or that of the curve').choices(
        ALGORITHMS,
      ),
    )
    .option('--passphrase-file <file>', 'the first line opens an encrypted key; default: ask')
    .option('--reason <text>', 'why; kept in the history')
    .option('--json', 'for scripts')
    .addHelpText('after', HELP)
    .action(async (path: string, options: Options) => {
      const found = await keysOf(path, options);
      await withContext(
        async (context) => {
          const { keys, now } = await context.get(SigningKeyStore).all();
          const { maxTokenTtl } = context.get<Config>(CONFIG).keys;
          const bring = options.verifyOnly ? admit : becomeStandby;
          await bring(context, found, options, { keys, now, maxTokenTtl });
        },
        { custody: options.verifyOnly !== true },
      );
    });

/** Everything that can be refused without the database is, before it is asked. */
async function keysOf(path: string, { passphraseFile }: Options): Promise<readonly FoundKey[]> {
  const file = readKeyFile(path);
  const encrypted = isEncryptedPem(file.text);
  if (encrypted) refuseIfOthersMayRead(file);
  const found = readKeys(file.text, encrypted ? await passphraseFor(path, passphraseFile) : undefined);
  if (found.some(({ key }) => key.type !== 'public')) refuseIfOthersMayRead(file);
  return found;
}

async function passphraseFor(path: string, file: string | undefined): Promise<string> {
  if (file === undefined) {
    return readSecret(`Passphrase of ${path}`);
  }
  const secret = readKeyFile(file);
  refuseIfOthersMayRead(secret);
  return secret.text.split(/\r?\n/, 1)[0] ?? '';
}

async function becomeStandby(
  context: INestApplicationContext,
  found: readonly FoundKey[],
  options: Options,
  world: ImportWorld,
): Promise<void> {
  await replaceStandby(context, { is: 'imported', ...(await planStandby(found, options, world)) }, options);
}

async function admit(
  context: INestApplicationContext,
  found: readonly FoundKey[],
  options: Options,
  world: ImportWorld,
): Promise<void> {
  const { keys, expired } = await planAdmission(found, options, world);
  await withProgress(`admitting ${keys.length} keys`, options, () =>
    context.get(KeyAdmission).admit({ reason: options.reason }, keys),
  );
  if (options.json) {
    return printJson({
      admitted: keys.map(({ kid, algorithm, createdAt, expiresAt }) => ({
        kid,
        algorithm,
        createdAt: iso(createdAt),
        expiresAt: iso(expiresAt),
      })),
      expired,
    });
  }
  for (const { kid, algorithm, createdAt, expiresAt } of keys) {
    const from = createdAt > world.now ? `from ${moment(createdAt, world.now)} ` : '';
    print(`${kid} (${algorithm}) verifies ${from}until ${moment(expiresAt, world.now)}, and never signs.`);
  }
  return expired.length > 0 ? print(`Passed over, because their end has come: ${expired.join(', ')}.`) : undefined;
}
