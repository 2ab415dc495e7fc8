import { readFileSync } from 'node:fs';
import { z } from 'zod';

// Two levels up from src/common, three from dist/src/common.
const manifest = ['../../package.json', '../../../package.json'].map((path) => new URL(path, import.meta.url));

function readVersion(): string {
  for (const url of manifest) {
    try {
      return z.object({ name: z.literal('keyturn'), version: z.string() }).parse(JSON.parse(readFileSync(url, 'utf8')))
        .version;
    } catch {
      // the other place
    }
  }
  return 'unknown';
}

/** The version of Keyturn that runs. */
export const KEYTURN_VERSION = readVersion();
