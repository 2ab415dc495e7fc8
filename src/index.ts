/** For applications that import Keyturn's modules into their own Nest server on Fastify. */
export { AppModule } from './app.module.js';
export { AuthModule } from './auth/auth.module.js';
export { AccessTokenVerifier, TokenRefused } from './auth/token/access-token-verifier.js';
export { CurrentUser, FreshLogin, Public, Roles, type AuthenticatedUser } from './common/access.js';
export { ERROR_STATUS, KeyturnError, type ErrorCode } from './common/errors.js';
export { ProblemFilter } from './common/http/problem.filter.js';
export { validationPipe } from './common/http/validation.pipe.js';
export { CONFIG, type Config } from './config/config.js';
export { ConfigModule } from './config/config.module.js';
export { ConfigError, loadConfig } from './config/load-config.js';
export { DatabaseModule } from './database/database.module.js';
export { openDatabase, type OpenDatabase } from './database/open-database.js';
export { KeyRotation } from './keys/key-rotation.js';
export { KeysModule } from './keys/keys.module.js';
export { KeyVault } from './keys/vault/key-vault.js';
export { createServer } from './server.js';
export { UsersModule } from './users/users.module.js';
export { UsersService } from './users/users.service.js';
