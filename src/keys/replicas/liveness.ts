import type { Config } from '../../config/config.js';

/** How often a server says that it lives, at least: milliseconds. */
export const HEARTBEAT_MS = 5_000;
/** A replica silent for longer is not counted on. What it remembers it may verify with all the same, until KEY_OFFLINE_LIMIT. */
export const LIVE = 'keyturn.is_live(last_seen_at)';
/** `$1`: how long before now a replica that may still verify was seen at the earliest, in milliseconds. */
export const MAY_VERIFY = `last_seen_at > keyturn.clock() - $1 * interval '1 millisecond'`;

/** How long after it was last seen a replica may verify, in milliseconds. */
export const mayVerifyFor = ({ keys }: Config): number => keys.offlineLimit + HEARTBEAT_MS;
