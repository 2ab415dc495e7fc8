import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { z } from 'zod';
import { CurrentUser, FreshLogin, Public, Roles, type AuthenticatedUser } from '../common/access.js';

const noteBody = z.strictObject({ text: z.string().min(1).max(500) });

@Controller('reports')
export class ReportsController {
  private readonly notes: string[] = [];

  @Get() // any logged-in user
  list(@CurrentUser() user: AuthenticatedUser) {
    return { reportsOf: user.username, notes: this.notes };
  }

  @Post('notes') // a body with a schema: anything else is 400 validation_failed
  @HttpCode(204)
  note(
    @CurrentUser() { username }: AuthenticatedUser,
    @Body({ schema: noteBody }) { text }: z.output<typeof noteBody>,
  ) {
    this.notes.push(`${username}: ${text}`);
  }

  @Get('payroll') // one of these roles; 403 insufficient_scope for everybody else
  @Roles('hr', 'board')
  payroll() {
    return { salaries: [] };
  }

  @Post('payroll/close') // and a login not older than 15 minutes; 401 fresh_login_required otherwise
  @Roles('hr')
  @FreshLogin()
  @HttpCode(204)
  close() {
    this.notes.push('closed');
  }

  @Get('about') // open
  @Public()
  about() {
    return { about: 'reports' };
  }
}
