import { Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { ConsoleController } from './console.controller.js';

/** The web pages. */
@Module({ imports: [AuthModule], controllers: [ConsoleController] })
export class ConsoleModule {}
