import { z } from 'zod';

/** A zod schema with its named parts, as OpenAPI 3.1 wants them. */
export interface DescribedSchema {
  readonly schema: Readonly<Record<string, unknown>>;
  readonly components: Record<string, Readonly<Record<string, unknown>>>;
}

/**
 * Writes a zod schema as JSON Schema (2020-12). One that has an `id` among its meta becomes a component of that name.
 * @param schemaType what a client sends (`input`), or what the server answers (`output`)
 */
export function toJsonSchema(
  schema: unknown,
  { schemaType: io }: { readonly schemaType: 'input' | 'output' },
): DescribedSchema | undefined {
  if (!(schema instanceof z.ZodType)) return undefined;
  const { $schema: _dialect, $defs: parts, ...written } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  const components = Object.entries(parts ?? {}).map(([name, part]) => [name, withoutId(part)] as const);
  return { schema: written, components: Object.fromEntries(components) };
}

const withoutId = ({ id: _id, ...rest }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => rest;
