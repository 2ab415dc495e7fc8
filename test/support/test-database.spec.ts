import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from './test-database.js';

describe('a test database', () => {
  let database: TestDatabase;
  let other: TestDatabase;
  beforeAll(async () => {
    [database, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  });
  afterAll(async () => {
    await database.drop();
    await other.drop();
  });

  it('is served under each role', async () => {
    const found: unknown[] = [];
    for (const role of ['superuser', 'migrator', 'owner', 'app', 'auditor'] as const) {
      const client = await database.connect(role);
      const { rows } = await client.query<{ who: string }>('SELECT current_user AS who WHERE current_database() = $1', [
        database.name,
      ]);
      found.push(rows[0]?.who);
    }
    expect(found.slice(1)).toEqual(['keyturn_migrator', 'keyturn_owner', 'keyturn_app', 'keyturn_auditor']);
  });

  it('has a clock of its own that the test moves and the server cannot', async () => {
    const app = await database.connect('app');
    const elsewhere = await other.connect('app');
    const ahead = async (client: typeof app) =>
      (
        await client.query<{ hours: number }>(
          `SELECT round(extract(epoch FROM keyturn.clock() - clock_timestamp()) / 3600)::integer AS hours`,
        )
      ).rows[0]?.hours;

    await database.setClockOffset(3_600_000);
    await database.moveClock(3_600_000);

    expect([await ahead(app), await ahead(elsewhere)]).toEqual([2, 0]);
    await expect(app.query('UPDATE test_clock.shift SET milliseconds = 0')).rejects.toThrow('permission denied');
  });

  it('lets nobody in whom roles.sql does not let in', async () => {
    const client = await database.connect('superuser');
    const { rows } = await client.query(
      `SELECT FROM pg_database, aclexplode(datacl) WHERE datname = current_database() AND grantee = 0`,
    );
    expect(rows).toEqual([]);
  });
});
