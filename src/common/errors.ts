/** Every stable error code that leaves this process, and the HTTP status it answers with. The one table. */
export const ERROR_STATUS = {
  invalid_request: 400,
  validation_failed: 400,
  malformed_json: 400,
  invalid_grant: 400,
  invalid_code: 400,
  password_rejected: 400,
  key_change_refused: 409,
  standby_too_young: 409,
  version_conflict: 409,
  setting_refused: 409,
  username_taken: 409,
  last_administrator: 409,
  invalid_credentials: 401,
  missing_token: 401,
  invalid_token: 401,
  token_expired: 401,
  fresh_login_required: 401,
  insufficient_scope: 403,
  own_account: 403,
  cross_origin: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  payload_too_large: 413,
  unsupported_media_type: 415,
  too_many_attempts: 429,
  headers_too_large: 431,
  internal_error: 500,
  busy: 503,
  signing_unavailable: 503,
  keys_unavailable: 503,
  database_unavailable: 503,
} as const satisfies Record<string, number>;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** Something that went wrong in a way we expect: it becomes an answer. Anything else is a defect and is rethrown. */
export class KeyturnError extends Error {
  override readonly name = 'KeyturnError';

  /** @param details extra members for the answer; never a secret. `retryAfter` is in seconds. */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: { retryAfter?: number; fields?: readonly FieldProblem[]; [name: string]: unknown } = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface FieldProblem {
  /** Dotted path of the offending member, `''` for the whole body. */
  field: string;
  problem: string;
}
