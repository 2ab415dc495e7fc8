import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { CONFIG, type Config } from '../config/config.js';
import { PasswordHasher } from './password/password-hasher.js';
import { User } from './user.entity.js';
import { UserDirectory } from './user-directory.js';
import { UserStore } from './user-store.js';
import { UsersService } from './users.service.js';

/** How many hashes may wait for their turn. Then whoever has the most of them waiting gives way; the rest are told to come again. */
const HASH_QUEUE = 64;

/** Who may log in. */
@Module({
  imports: [TypeOrmModule.forFeature([User])],
  providers: [
    {
      provide: PasswordHasher,
      inject: [CONFIG],
      useFactory: ({ passwordHash: { memory, passes, concurrency } }: Config) =>
        new PasswordHasher({
          cost: { memoryCost: memory, timeCost: passes, parallelism: 1 },
          concurrency,
          queue: HASH_QUEUE,
        }),
    },
    UserStore,
    UserDirectory,
    UsersService,
  ],
  exports: [UsersService, UserDirectory],
})
export class UsersModule {}
