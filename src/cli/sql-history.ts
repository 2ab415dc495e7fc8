import { chmodSync, readFileSync, writeFileSync } from 'node:fs';

/** Lines that are kept. */
export const HISTORY_SIZE = 1_000;

/** Lines typed in earlier shells, newest first; none when the file cannot be read. */
export function readHistory(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .toReversed()
      .slice(0, HISTORY_SIZE);
  } catch {
    return [];
  }
}

/** Keeps what was typed, newest first, for its owner alone. A shell does not fail for its history: false when it cannot. */
export function writeHistory(file: string, lines: readonly string[]): boolean {
  try {
    writeFileSync(file, `${lines.toReversed().join('\n')}\n`, { mode: 0o600 });
    chmodSync(file, 0o600);
    return true;
  } catch {
    return false;
  }
}
