import { Controller, Get, Module } from '@nestjs/common';
import { CurrentUser, Public, Roles, type AuthenticatedUser } from '../common/access.js';

@Controller('reports')
export class ReportsController {
  @Get() // any logged-in user
  list(@CurrentUser() user: AuthenticatedUser) {
    return { reportsOf: user.username };
  }

  @Get('payroll') // 403 insufficient_scope for everybody else
  @Roles('hr')
  payroll() {
    return { salaries: [] };
  }

  @Get('about') // open
  @Public()
  about() {
    return { about: 'reports' };
  }
}

@Module({ controllers: [ReportsController] })
export class ReportsModule {}
