import type { AuthenticatedUser } from '../../common/access.js';
import type { Actor } from '../../database/change.js';

/** A request with the id that the log and history name. */
export interface NumberedRequest {
  readonly id: string;
}

/** Who administers, as history writes it down. */
export const actorOf = (user: AuthenticatedUser, request: NumberedRequest, reason: string | undefined): Actor => ({
  userId: user.id,
  requestId: request.id,
  reason,
});
