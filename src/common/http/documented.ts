import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiOperation, ApiResponse } from '@nestjs/swagger';
import type { z } from 'zod';
import type { ErrorCode } from '../errors.js';

/** Where a handler keeps the errors that it answers with of its own accord. */
export const ERRORS = Symbol('keyturn.errors');

/** Answers that have no body. */
export type Empty = 'empty';

/**
 * What a route is for and what it answers, for the API description. A test holds it against real answers.
 * @param answers status and schema of what is no error
 * @param errors what the handler itself refuses with. What the guard, the body and the parameters bring along is known: see openapi.ts
 */
export const Documented = (
  summary: string,
  answers: Readonly<Record<number, z.ZodType | Empty>>,
  ...errors: readonly ErrorCode[]
): MethodDecorator =>
  applyDecorators(
    ApiOperation({ summary }),
    SetMetadata(ERRORS, errors),
    ...Object.entries(answers).map(([status, schema]) =>
      ApiResponse({
        status: Number(status),
        description: DESCRIPTIONS[status] ?? '',
        ...(schema !== 'empty' && { standardSchema: schema }),
      }),
    ),
  );

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  200: 'Done.',
  201: 'Made.',
  204: 'Done; there is nothing to say.',
  304: 'Nothing has changed since.',
  503: 'Not now; the body says why.',
};
