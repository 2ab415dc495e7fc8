import { Foundation1795000000000 } from './1795000000000-foundation.js';
import { SigningKeys1795000001000 } from './1795000001000-signing-keys.js';
import { UsersAndSessions1795000002000 } from './1795000002000-users-and-sessions.js';
import { AuditLog1795000003000 } from './1795000003000-audit-log.js';
import { AuditViews1795000004000 } from './1795000004000-audit-views.js';
import { Reconciliation1795000004500 } from './1795000004500-reconciliation.js';
import { News1795000005000 } from './1795000005000-news.js';
import { AuditProof1795000006000 } from './1795000006000-audit-proof.js';
import { UserAdministration1795000007000 } from './1795000007000-user-administration.js';
import { RestoreBackup1795000008000 } from './1795000008000-restore-backup.js';
import { LoginHistory1795000009000 } from './1795000009000-login-history.js';
import { Throttling1795000010000 } from './1795000010000-throttling.js';

/** Every migration, oldest first: an explicit list, so that what runs is what was reviewed. */
export const migrations = [
  Foundation1795000000000,
  SigningKeys1795000001000,
  UsersAndSessions1795000002000,
  AuditLog1795000003000,
  AuditViews1795000004000,
  Reconciliation1795000004500,
  News1795000005000,
  AuditProof1795000006000,
  UserAdministration1795000007000,
  RestoreBackup1795000008000,
  LoginHistory1795000009000,
  Throttling1795000010000,
];
