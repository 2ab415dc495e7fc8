import { Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { AccountPageController } from './account.controller.js';
import { CodesController } from './codes.controller.js';
import { HomeController } from './home.controller.js';
import { LoginController } from './login.controller.js';

/** The web pages: plain forms that work without script. */
@Module({
  imports: [AuthModule],
  controllers: [HomeController, LoginController, CodesController, AccountPageController],
})
export class ConsoleModule {}
