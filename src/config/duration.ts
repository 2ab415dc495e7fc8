import { z } from 'zod';

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const DAY = 86_400_000;

/** Reads `500ms`, `30s`, `10min`, `1h`, `30d` into milliseconds; undefined when it is none of them. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|min|h|d)$/.exec(text.trim());
  const unit = UNITS[match?.[2] ?? ''];
  return match && unit !== undefined ? Number(match[1]) * unit : undefined;
}

/** Writes milliseconds as a person would: the largest unit that divides them. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0s';
  const unit = ['d', 'h', 'min', 's', 'ms'].find((name) => milliseconds % (UNITS[name] ?? 1) === 0) ?? 'ms';
  return `${milliseconds / (UNITS[unit] ?? 1)}${unit}`;
}

/** A setting that is a length of time: text in, milliseconds out. */
export const duration = (atLeast = 1, atMost = 3_650 * DAY): z.ZodType<number, string> =>
  z.string().transform((text, context) => {
    const milliseconds = parseDuration(text);
    if (milliseconds !== undefined && milliseconds >= atLeast && milliseconds <= atMost) return milliseconds;
    context.addIssue({
      code: 'custom',
      message: `must be a length of time such as 500ms, 30s, 10min, 1h or 30d, from ${formatDuration(atLeast)} to ${formatDuration(atMost)}`,
    });
    return z.NEVER;
  });
