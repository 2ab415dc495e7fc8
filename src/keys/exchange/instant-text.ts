import type { Instant } from '../signing-key.js';

const SHAPE =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?: ?(Z|[+-]\d{2}(?::?\d{2})?))?)?$/i;

/**
 * Reads ISO 8601 as programs write it: `2026-11-01`, `2026-11-01 09:30:00.123456`, `2026-11-01T09:30:00+02:00`. Without a zone it is UTC;
 * what is finer than a millisecond is cut off.
 * @returns milliseconds since 1970; undefined when it is not a time, such as the 30th of February
 */
export function parseInstant(text: string): Instant | undefined {
  const [, day, minute = '00:00', second = '00', fraction = '', zone = 'Z'] = SHAPE.exec(text.trim()) ?? [];
  const iso = `${day}T${minute}:${second}.${fraction.padEnd(3, '0').slice(0, 3)}Z`;
  const at = Date.parse(iso);
  // What is too large is carried over: the 30th of February would be the 2nd of March.
  if (Number.isNaN(at) || new Date(at).toISOString() !== iso) return undefined;
  const east = offsetOf(zone);
  return east === undefined ? undefined : at - east;
}

/** Milliseconds east of UTC. */
function offsetOf(zone: string): number | undefined {
  if (zone.toUpperCase() === 'Z') return 0;
  const [, sign, hours, minutes = '00'] = /^([+-])(\d{2}):?(\d{2})?$/.exec(zone) ?? [];
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
}
