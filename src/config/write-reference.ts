import { readFileSync, writeFileSync } from 'node:fs';
import { environmentExample, withSettingsTable } from './reference.js';

// Run by `npm run docs:settings`: the working directory is the project's.
const document = 'docs/configuration.md';
writeFileSync(document, withSettingsTable(readFileSync(document, 'utf8')));
writeFileSync('.env.example', environmentExample());
