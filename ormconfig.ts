import { DataSource } from 'typeorm';
import { migrations } from './migrations/index.js';
import { loadConfig } from './src/config/load-config.js';
import { migrationDataSourceOptions } from './src/database/data-source.js';
import { openEmbeddedPostgres } from './src/database/embedded/embedded-postgres.js';

/** For the TypeORM command line: `npm run typeorm -- migration:show`. Joins the embedded server, or starts it for the length of the command. */
async function dataSourceForCommandLine(): Promise<DataSource> {
  const config = loadConfig(process.env);
  if (config.database.migrationUrl !== undefined) {
    return new DataSource({
      ...migrationDataSourceOptions(config.database.migrationUrl, migrations),
      logging: ['schema', 'error'],
    });
  }
  const embedded = await openEmbeddedPostgres({ dataDir: config.dataDir });
  const dataSource = new DataSource({
    ...migrationDataSourceOptions(embedded.urls.migrator, migrations),
    logging: ['schema', 'error'],
  });
  const destroy = dataSource.destroy.bind(dataSource);
  dataSource.destroy = async () => {
    await destroy();
    await embedded.stop();
  };
  return dataSource;
}

export default dataSourceForCommandLine();
