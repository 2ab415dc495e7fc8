import type { Screen } from './screen.js';

/** The story is not true: something else happened than was told. */
export class NotAsTold extends Error {
  override readonly name = 'NotAsTold';
}

/**
 * Looks whether something is as the story tells it, and only then says so.
 * @throws NotAsTold
 */
export function expectThat(screen: Screen, claim: string, holds: boolean, found: unknown): void {
  if (!holds) throw new NotAsTold(`Not as told: ${claim}. Found: ${JSON.stringify(found)}`);
  screen.found(claim);
}
