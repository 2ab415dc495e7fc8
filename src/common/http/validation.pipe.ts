import { StandardSchemaValidationPipe } from '@nestjs/common';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { KeyturnError } from '../errors.js';

const pathOf = ({ path = [] }: StandardSchemaV1.Issue): string =>
  path.map((segment) => String(typeof segment === 'object' ? segment.key : segment)).join('.');

/** Checks every parameter that names a schema. Unknown fields are refused where the schema is strict, as all of ours are. */
export const validationPipe = (): StandardSchemaValidationPipe =>
  new StandardSchemaValidationPipe({
    exceptionFactory: (issues) =>
      new KeyturnError('validation_failed', 'The request is not valid.', {
        fields: issues.slice(0, 20).map((issue) => ({ field: pathOf(issue), problem: issue.message })),
      }),
  });
