import { setTimeout as pause } from 'node:timers/promises';

/** Asks again and again until `probe` gives a value; undefined when it gave none in time. */
export async function poll<T>(
  probe: () => Promise<T | undefined>,
  { timeoutMs, everyMs = 20 }: { timeoutMs: number; everyMs?: number },
): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined || performance.now() >= deadline) return value;
    await pause(everyMs);
  }
}
