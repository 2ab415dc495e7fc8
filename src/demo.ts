#!/usr/bin/env node
import { unexpectedInWords } from './common/unexpected.js';
import { ConfigError } from './config/load-config.js';
import { EmbeddedPostgresError } from './database/embedded/embedded-postgres.js';
import { DatabaseProblem } from './database/open-database.js';
import { NotAsTold } from './demo/expectation.js';
import { Screen } from './demo/screen.js';
import { tellStory } from './demo/story.js';
import { openWorld } from './demo/world.js';

/** Exit codes: 0 all was as told, 1 something was not, 130 and 143 interrupted, as shells count signals. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;
const EXPECTED = [NotAsTold, ConfigError, DatabaseProblem, EmbeddedPostgresError];

const screen = new Screen(process.stdout, process.env);
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // Every time, not once: a second Ctrl-C must not end the process before it has tidied up.
  process.on(signal, () => {
    process.exitCode = SIGNALS[signal];
    ending.abort();
  });
}

// Whoever reads us has gone, as in `npm run demo | head`.
process.stdout.on('error', () => ending.abort());

async function demo(): Promise<void> {
  screen.line('Starting a server and a database of its own, which end with the demo …');
  const world = await openWorld().catch((error: unknown) => {
    ending.signal.throwIfAborted();
    throw error;
  });
  try {
    ending.signal.throwIfAborted();
    screen.line(`Server ${world.url}; ${world.database}`);
    await tellStory(world, screen, ending.signal);
  } finally {
    await world.close();
  }
}

try {
  await demo();
  screen.end('All of it happened as told. The server, the database and their files are gone again.', true);
} catch (error) {
  if (error === ending.signal.reason) {
    screen.end('Interrupted. The server, the database and their files are gone again.', false);
  } else if (EXPECTED.some((expected) => error instanceof expected)) {
    process.exitCode ??= 1;
    screen.end(error instanceof Error ? error.message : String(error), false);
  } else {
    process.exitCode ??= 1;
    screen.end(unexpectedInWords(error), false);
  }
}
