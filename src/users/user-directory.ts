import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { KeyturnError } from '../common/errors.js';
import { asKeyturnError } from '../database/unavailable.js';
import { writeCursor, type UserCursor } from './user-cursor.js';
import { USER_VIEW_COLUMNS, viewUser, type Standing, type UserView, type UserViewRow } from './user-view.js';

/** Which users, and how many of them. */
export interface UserQuery {
  /** Part of the username, ignoring case. */
  readonly q?: string | undefined;
  readonly role?: string | undefined;
  readonly standing?: Standing | undefined;
  readonly after?: UserCursor | undefined;
  readonly limit: number;
}

/** Some users, oldest first, and the cursor of the page that follows; null when there is none. */
export interface UserPage {
  readonly users: readonly UserView[];
  readonly next: string | null;
}

/** Who there is. Every method throws KeyturnError `database_unavailable` when the database cannot be had. */
@Injectable()
export class UserDirectory {
  constructor(private readonly dataSource: DataSource) {}

  async page({ q, role, standing, after, limit }: UserQuery): Promise<UserPage> {
    const rows = await this.select(
      `SELECT * FROM (SELECT ${USER_VIEW_COLUMNS} FROM keyturn.users u) u
       WHERE ($1::text IS NULL OR position(lower($1) IN lower(username)) > 0)
         AND ($2::text IS NULL OR $2 = ANY (roles))
         AND ($3::text IS NULL OR standing = $3)
         AND ($4::timestamptz IS NULL OR (created_at, id) > ($4, $5::uuid))
       ORDER BY created_at, id LIMIT $6`,
      [q ?? null, role ?? null, standing ?? null, after?.createdAt ?? null, after?.id ?? null, limit + 1],
    );
    const users = rows.slice(0, limit).map(viewUser);
    const last = users.at(-1);
    return { users, next: rows.length > limit && last ? writeCursor(last) : null };
  }

  /** @throws KeyturnError `not_found` */
  async get(id: string, manager: EntityManager = this.dataSource.manager): Promise<UserView> {
    const [row] = await this.select(`SELECT ${USER_VIEW_COLUMNS} FROM keyturn.users u WHERE u.id = $1`, [id], manager);
    if (!row) throw new KeyturnError('not_found', 'There is no such user.');
    return viewUser(row);
  }

  /** By name, ignoring case. @throws KeyturnError `not_found` */
  async named(username: string): Promise<UserView> {
    const [row] = await this.select(
      `SELECT ${USER_VIEW_COLUMNS} FROM keyturn.users u WHERE lower(u.username) = lower($1)`,
      [username],
    );
    if (!row) throw new KeyturnError('not_found', `There is no user ${username}.`);
    return viewUser(row);
  }

  private async select(
    sql: string,
    parameters: readonly unknown[],
    manager: EntityManager = this.dataSource.manager,
  ): Promise<UserViewRow[]> {
    try {
      return await manager.query<UserViewRow[]>(sql, [...parameters]);
    } catch (error) {
      throw asKeyturnError(error);
    }
  }
}
