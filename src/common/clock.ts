/** Where "now" comes from. Production: the database's clock; a test hands its own. */
export abstract class Clock {
  /** Milliseconds since 1970. */
  abstract now(): number;
}
