import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { CONFIG, type Config } from '../config/config.js';
import { EXPORT_FORMATS, exportKeys, type Export, type ExportFormat } from '../keys/exchange/write-keys.js';
import { SigningKeyStore } from '../keys/store/signing-key-store.js';
import { CommandError } from './command-error.js';
import { withContext } from './context.js';

const HELP = `
Without KID, jwks and keys.json hold every key that verifies now or will; pem and jwk the one that signs. Private halves and HMAC
secrets are never given out: there is no option for it. A keys.json is a list
  [{"kid": "7-NzbLsXh8", "public_key": "-----BEGIN PUBLIC KEY…", "created_at": "…", "expires_at": "…"}]
in which the end of a key whose successor is still to come is the planned one: export again after every rotation.

Examples:
  keyturn keys export --format keys.json --out /srv/app/keys.json
  keyturn keys export --format jwks
  keyturn keys export 7-NzbLsXh8 --format pem`;

export const keysExportCommand = (): Command =>
  new Command('export')
    .description('public halves, for programs that verify without asking for JWKS')
    .argument('[kid]', 'one key; default: see below')
    .addOption(new Option('--format <format>', 'how it is written').choices(EXPORT_FORMATS).makeOptionMandatory())
    .option('--out <file>', 'write there, in one step; default: to standard output')
    .addHelpText('after', HELP)
    .action((kid: string | undefined, { format, out }: { format: ExportFormat; out?: string }) =>
      withContext(async (context) => {
        const world = await context.get(SigningKeyStore).all();
        const exported = exportKeys(world, context.get<Config>(CONFIG).keys, format, kid);
        if (out === undefined) process.stdout.write(exported.text);
        else replaceFile(out, exported.text);
        for (const line of remarks(exported, format, out)) process.stderr.write(`${line}\n`);
      }),
    );

function remarks({ keys, leftOut }: Export, format: ExportFormat, out: string | undefined): readonly string[] {
  // What a reader of the list could not guess from the key.
  const unsaid =
    format === 'keys.json' || format === 'pem' ? keys.filter((key) => !/^(RS256|ES)/.test(key.algorithm)) : [];
  return [
    ...(out === undefined ? [] : [`${out}: ${keys.map((key) => key.kid).join(', ')}`]),
    ...(leftOut.length > 0 ? [`Left out, because an HMAC key has no public half: ${leftOut.join(', ')}`] : []),
    ...(unsaid.length > 0
      ? [`${format} names no algorithm: ${unsaid.map((key) => `${key.kid} is ${key.algorithm}`).join(', ')}`]
      : []),
  ];
}

/** A program that reads the file at this moment reads the old one or the new one. */
function replaceFile(path: string, text: string): void {
  const beside = `${path}.${process.pid}.new`;
  try {
    writeFileSync(beside, text, { flag: 'wx', mode: 0o644 });
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw new CommandError(
      'file_unwritable',
      `${path} cannot be written: ${error instanceof Error ? error.message : 'unknown error'}`,
    );
  }
}
