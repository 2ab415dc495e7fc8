import { parseDuration } from '../../config/duration.js';

const DAY = 86_400_000;
const LONGEST = 10 * 365 * DAY;

/** How far to look ahead: `90d`, `26w`, `6mo` (of 30 days), `1y` (of 365); milliseconds, or undefined when it is none, or past ten years. */
export function parseHorizon(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,4})(w|mo|y)$/.exec(text) ?? [];
  const days: Readonly<Record<string, number>> = { w: 7, mo: 30, y: 365 };
  const length = unit === undefined ? parseDuration(text) : Number(amount) * (days[unit] ?? 0) * DAY;
  return length !== undefined && length > 0 && length <= LONGEST ? length : undefined;
}
