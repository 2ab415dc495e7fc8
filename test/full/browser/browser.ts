import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

/** Is there a browser? Where there is none, its tests are skipped, and it is said why and how to get it. */
export function hasBrowser(): boolean {
  if (existsSync(CHROMIUM)) return true;
  process.stderr.write(`  skipped: no ${CHROMIUM}. On Debian: apt-get install chromium\n`);
  return false;
}

/** A person before a fresh browser, and everything that the browser complained of. */
export interface Visitor {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What came on the console, what the policy forbade, what a script threw. */
  readonly complaints: string[];
  close(): Promise<void>;
}

export interface VisitorOptions {
  readonly javaScriptEnabled?: boolean;
  readonly colorScheme?: 'light' | 'dark';
  readonly ignoreHTTPSErrors?: boolean;
  readonly viewport?: { readonly width: number; readonly height: number };
}

/** Starts a browser with a profile of its own. */
export async function openBrowser({ javaScriptEnabled = true, ...options }: VisitorOptions = {}): Promise<Visitor> {
  const profile = await mkdtemp(join(tmpdir(), 'keyturn-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: FLAGS,
    javaScriptEnabled,
    ...options,
  });
  context.setDefaultTimeout(15_000);
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints: string[] = [];
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  return {
    ...{ context, page, complaints },
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
