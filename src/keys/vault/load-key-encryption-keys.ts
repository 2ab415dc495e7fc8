import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../../config/load-config.js';
import type { Config } from '../../config/config.js';
import { KeyEncryptionKeys } from './key-encryption-keys.js';

/**
 * The key-encryption keys of the configuration; in development they are made in the data directory at the first start.
 * @throws ConfigError when they cannot be read, or when others may read them.
 */
export function loadKeyEncryptionKeys(config: Config): KeyEncryptionKeys {
  const { kek, kekFile } = config.keys;
  if (kek !== undefined) return parse(kek, 'KEK');
  if (kekFile !== undefined) return parse(readPrivate(kekFile), `KEK_FILE ${kekFile}`);
  const developmentFile = join(config.dataDir, 'kek');
  makeIfMissing(config.dataDir, developmentFile);
  return parse(readPrivate(developmentFile), `KEK_FILE ${developmentFile}`);
}

function parse(text: string, where: string): KeyEncryptionKeys {
  try {
    return KeyEncryptionKeys.parse(text);
  } catch (error) {
    throw new ConfigError([
      `${where}: ${error instanceof Error ? error.message : 'it cannot be read'}. Make a line with: keyturn kek new`,
    ]);
  }
}

function readPrivate(path: string): string {
  try {
    const { mode } = statSync(path);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new ConfigError([
        `KEK_FILE ${path} may be read by others (mode ${(mode & 0o777).toString(8)}). Type: chmod 600 ${path}`,
      ]);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([
      `KEK_FILE ${path} cannot be read: ${error instanceof Error ? error.message : 'unknown error'}`,
    ]);
  }
}

function makeIfMissing(dataDir: string, path: string): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  try {
    // wx: of two that start at once, one writes and both read the same.
    writeFileSync(
      path,
      `# Key-encryption key of this development data. Losing it loses every private key.\n${KeyEncryptionKeys.newLine()}\n`,
      { mode: 0o600, flag: 'wx' },
    );
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
