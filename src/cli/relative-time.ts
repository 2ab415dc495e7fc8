import { formatDuration } from '../config/duration.js';

const STEPS = [86_400_000, 3_600_000, 60_000, 1_000];

/** `in 29d`, `3h ago`: the largest unit that fits, rounded down. */
export function relative(instant: number, now: number): string {
  const distance = Math.abs(instant - now);
  const step = STEPS.find((candidate) => distance >= candidate);
  if (step === undefined) return 'now';
  const amount = formatDuration(Math.floor(distance / step) * step);
  return instant > now ? `in ${amount}` : `${amount} ago`;
}

/** `2026-12-23 03:00:00 UTC (in 29d)` */
export const moment = (instant: number, now: number): string =>
  `${new Date(instant)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')} (${relative(instant, now)})`;
