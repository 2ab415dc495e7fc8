import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { z } from 'zod';
import type { Answer, AskOptions, TestApp } from '../support/test-app.js';

const header = z.looseObject({ required: z.boolean().optional() });
const media = z.looseObject({ schema: z.unknown().optional(), example: z.unknown().optional() });
const operation = z.looseObject({
  operationId: z.string(),
  summary: z.string().min(1),
  tags: z.array(z.string()).min(1),
  security: z.array(z.record(z.string(), z.array(z.string()))).default([]),
  parameters: z
    .array(z.looseObject({ name: z.string(), in: z.enum(['path', 'query', 'header']), required: z.boolean() }))
    .default([]),
  requestBody: z.looseObject({ content: z.record(z.string(), media) }).optional(),
  responses: z.record(
    z.string().regex(/^[1-5]\d\d$/),
    z.looseObject({
      description: z.string().min(1),
      headers: z.record(z.string(), header).default({}),
      content: z.record(z.string(), media).default({}),
    }),
  ),
});

/** The parts of an OpenAPI 3.1 document that clients build on. Whatever of ours is shaped otherwise does not parse. */
export const openApiDocument = z.looseObject({
  openapi: z.literal('3.1.0'),
  info: z.looseObject({ title: z.string().min(1), version: z.string().min(1) }),
  paths: z.record(
    z.string().startsWith('/'),
    z.partialRecord(z.enum(['get', 'post', 'put', 'patch', 'delete']), operation),
  ),
  components: z.looseObject({
    schemas: z.record(z.string().regex(/^[\w.-]+$/), z.looseObject({})),
    securitySchemes: z.record(z.string(), z.looseObject({ type: z.string() })),
  }),
});
export type OpenApiDocument = z.output<typeof openApiDocument>;

/** One operation of the document. */
export interface Described extends z.output<typeof operation> {
  /** `POST /keys/{kid}/revoke` */
  readonly name: string;
  readonly method: string;
  readonly path: string;
}

export const operationsOf = ({ paths }: OpenApiDocument): readonly Described[] =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([verb, found]) => {
      const method = verb.toUpperCase();
      return found === undefined ? [] : [{ ...found, path, method, name: `${method} ${path}` }];
    }),
  );

/** The statuses that an operation may answer with. */
export const statusesOf = ({ responses }: Described): readonly number[] => Object.keys(responses).map(Number);

/** The body that an operation shows, if it wants one. */
export const exampleOf = ({ requestBody }: Described): unknown => requestBody?.content['application/json']?.example;

/** Puts values where an address has names. */
export const filled = (path: string, values: Readonly<Record<string, string>>): string =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? `no-${name}`);

/** Compiles every schema of a document. @throws when one is none */
export function schemaValidator(document: OpenApiDocument): (schema: unknown) => ValidateFunction {
  const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addKeyword('components');
  ajv.addSchema({ $id: 'openapi', components: { schemas: document.components.schemas } }, 'openapi');
  return (schema) => {
    const text = JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/');
    return ajv.compile(z.record(z.string(), z.unknown()).parse(JSON.parse(text)));
  };
}

/** Asks, and holds every answer against the document. */
export class Watch {
  /** `GET /keys 200`, of every answer that was seen. */
  readonly seen = new Set<string>();
  /** What did not fit, in words. */
  readonly problems: string[] = [];
  private readonly validate: (schema: unknown) => ValidateFunction;

  constructor(
    document: OpenApiDocument,
    private readonly server: Pick<TestApp, 'ask'>,
  ) {
    this.validate = schemaValidator(document);
  }

  /** @param values for the names in the operation's path */
  async ask(
    described: Described,
    options: AskOptions = {},
    values: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const answer = await this.server.ask(filled(described.path, values), { ...options, method: described.method });
    this.judge(described, answer);
    return answer;
  }

  private judge({ name, responses }: Described, { status, headers, body }: Answer): void {
    const seen = `${name} ${status}`;
    this.seen.add(seen);
    const documented = responses[status];
    if (!documented) return void this.problems.push(`${seen} is not documented: ${JSON.stringify(body)}`);
    for (const [required] of Object.entries(documented.headers).filter(([, { required: must }]) => must)) {
      if (!headers.has(required)) this.problems.push(`${seen} has no ${required}`);
    }
    const type = headers.get('content-type')?.split(';')[0] ?? '';
    const content = documented.content[type];
    if (content === undefined) {
      const isNothing = body === '' && Object.keys(documented.content).length === 0;
      if (!isNothing) this.problems.push(`${seen} came as "${type}"`);
      return;
    }
    const valid = this.validate(content.schema);
    if (!valid(body)) this.problems.push(`${seen}: ${JSON.stringify(valid.errors)} in ${JSON.stringify(body)}`);
  }
}
