import type { OpenAPIObject } from '@nestjs/swagger';
import { ERROR_STATUS, type ErrorCode } from '../errors.js';
import type { RouteAccess } from '../route-access.js';

type PathItem = OpenAPIObject['paths'][string];
export type Operation = NonNullable<PathItem['get']>;
type Response = Exclude<NonNullable<Operation['responses'][string]>, { $ref: string }>;
type Schema = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

/** What a route says of itself elsewhere than to Swagger. */
export interface RouteFacts {
  readonly access: RouteAccess;
  /** What its handler refuses with. */
  readonly errors: readonly ErrorCode[];
}

const PROBLEM_JSON = 'application/problem+json';

/** RFC 9457. The members beyond these depend on the code. */
export const problemSchema: Schema = {
  type: 'object',
  required: ['type', 'title', 'status', 'code', 'detail', 'requestId'],
  properties: {
    type: { type: 'string', enum: ['about:blank'] },
    title: { type: 'string' },
    status: { type: 'integer' },
    code: { type: 'string', enum: Object.keys(ERROR_STATUS), description: 'Stable: what a program decides by.' },
    detail: { type: 'string', description: 'A sentence for a person.' },
    requestId: { type: 'string', description: 'Finds the request in the log.' },
    errors: {
      type: 'array',
      description: 'With `validation_failed` and `password_rejected`: what is wrong where.',
      items: {
        type: 'object',
        required: ['field', 'problem'],
        properties: {
          field: { type: 'string', description: 'Dotted path; empty for the whole body.' },
          problem: { type: 'string' },
        },
      },
    },
  },
};

const RETRY_AFTER = { 'retry-after': header('Seconds to wait.') };
const HEADERS: Readonly<Record<number, Response['headers']>> = {
  400: { 'www-authenticate': { ...header('With `invalid_request`: RFC 6750 section 3.'), required: false } },
  401: { 'www-authenticate': header('RFC 6750 section 3.') },
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

function header(description: string) {
  return { description, required: true, schema: { type: 'string' as const } };
}

/** Adds what the guard, the body and the parameters of a route bring along. */
export function completeOperation(method: string, operation: Operation, { access, errors }: RouteFacts): void {
  completeBody(operation);
  if (!access.open) operation.security = [{ bearer: [] }, { cookie: [] }];
  const codes = [...new Set([...guardErrors(method, access), ...inputErrors(method, operation), ...errors])];
  for (const status of new Set(codes.map((code) => ERROR_STATUS[code]))) {
    operation.responses[status] ??= problemResponse(
      status,
      codes.filter((code) => ERROR_STATUS[code] === status),
    );
  }
}

function guardErrors(method: string, { open, wanted, freshLogin }: RouteAccess): readonly ErrorCode[] {
  if (open) return [];
  return [
    ...(['invalid_request', 'missing_token', 'invalid_token', 'token_expired'] as const),
    ...(['database_unavailable', 'keys_unavailable'] as const),
    // A cookie counts for a change only when a page of ours sends it.
    ...(method === 'get' ? [] : (['cross_origin'] as const)),
    ...(wanted === undefined ? [] : (['insufficient_scope'] as const)),
    ...(freshLogin ? (['fresh_login_required'] as const) : []),
  ];
}

function inputErrors(method: string, { requestBody, parameters = [] }: Operation): readonly ErrorCode[] {
  return [
    ...(requestBody !== undefined || parameters.length > 0 ? (['validation_failed'] as const) : []),
    // A body is looked at before anything else, wanted or not.
    ...(method === 'get' ? [] : (['malformed_json', 'payload_too_large', 'unsupported_media_type'] as const)),
  ];
}

function problemResponse(status: number, codes: readonly ErrorCode[]): Response {
  const schema: Schema = {
    allOf: [
      { $ref: '#/components/schemas/Problem' },
      { type: 'object', properties: { status: { enum: [status] }, code: { enum: [...codes] } } },
    ],
  };
  const headers = status === 400 && !codes.includes('invalid_request') ? undefined : HEADERS[status];
  return {
    description: codes.map((code) => `\`${code}\``).join(', '),
    ...(headers && { headers }),
    content: { [PROBLEM_JSON]: { schema } },
  };
}

/** Puts the schema's example where the format has a place for it; a body that may be left out says so, one that must be is not shown. */
function completeBody(operation: Operation): void {
  const { requestBody } = operation;
  if (requestBody === undefined || '$ref' in requestBody) return;
  for (const media of Object.values(requestBody.content)) {
    const branches = media.schema !== undefined && 'anyOf' in media.schema ? media.schema.anyOf : undefined;
    const wanted = branches?.find((branch) => !('type' in branch && branch.type === 'null'));
    if (wanted) {
      media.schema = wanted;
      requestBody.required = false;
    }
    if (media.schema === undefined || '$ref' in media.schema) continue;
    const { example, ...schema } = media.schema;
    media.schema = schema;
    if (example !== undefined) media.example = example;
    if (schema.properties !== undefined && Object.keys(schema.properties).length === 0) delete operation.requestBody;
  }
}
