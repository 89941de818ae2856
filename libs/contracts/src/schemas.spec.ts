import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { breaks, type JsonSchema } from './compatibility.ts';
import { OrderPlaced, OrderShipped } from './order-events.ts';
import { jsonSchemaOf, publishedSchemas } from './published-schemas.ts';

const folder = new URL('../schemas/', import.meta.url);
const committed = (name: string): JsonSchema => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
const today = publishedSchemas();

describe('the published schemas', () => {
  it.each([...today.keys()])('of %s break no reader', (name) => {
    expect(breaks(committed(name), today.get(name) as JsonSchema)).toEqual([]);
  });

  it('have patterns that need no flag to be compiled', () => {
    const patterns = [...JSON.stringify([...today.values()]).matchAll(/"pattern":("(?:[^"\\\\]|\\\\.)*")/g)];
    expect(patterns.length).toBeGreaterThan(10);
    expect(patterns.filter(([, pattern]) => /\\[pP]\{|\\u\{/.test(JSON.parse(pattern ?? '')))).toEqual([]);
  });

  it('are those that are committed: `npm run schemas` writes them', () => {
    expect(readdirSync(folder).sort()).toEqual([...today.keys()].map((name) => `${name}.json`).sort());
    for (const [name, schema] of today) expect(committed(name)).toEqual(JSON.parse(JSON.stringify(schema)));
  });
});

describe('a change of a published schema', () => {
  const line = OrderPlaced.shape.lines.element;
  const placed = (shape: z.ZodRawShape) => z.strictObject({ ...OrderPlaced.shape, ...shape });
  const { total: _, ...withoutTotal } = OrderPlaced.shape;

  it.each<[what: string, schema: z.ZodType, broken: string[]]>([
    ['a field that is gone', z.strictObject(withoutTotal), ['total is gone, or has another name']],
    [
      'a field with another name',
      z.strictObject({ ...withoutTotal, sum: OrderPlaced.shape.total }),
      ['total is gone, or has another name', 'sum is now required, and missing in what was written'],
    ],
    ['a new field that is required', placed({ channel: z.string() }), ['channel is now required']],
    [
      'a required field that may be missing',
      placed({ total: z.int().min(0).optional() }),
      ['total may now be missing'],
    ],
    [
      'an optional field that is required',
      placed({ reference: OrderPlaced.shape.reference.unwrap() }),
      ['reference is now required'],
    ],
    ['another type', placed({ customerId: z.int() }), ['customerId has another type: "string" was published']],
    [
      'another type as well',
      placed({ total: z.union([z.int(), z.string()]) }),
      ['total has another anyOf', 'total has another type'],
    ],
    ['null', placed({ delivery: OrderPlaced.shape.delivery.nullable() }), ['delivery has another anyOf']],
    ['a narrower range', placed({ total: z.int().min(1) }), ['total has another minimum: 0 was published, 1 is new']],
    ['a wider range', placed({ total: z.int() }), ['total has another minimum']],
    [
      'a shorter text',
      placed({ customerId: z.string().min(1).max(32) }),
      ['customerId has another maxLength: 64 was published, 32'],
    ],
    [
      'another pattern',
      placed({ customerId: z.string().min(1).max(64).regex(/^c-/) }),
      ['customerId has another pattern'],
    ],
    ['fewer elements', placed({ lines: z.array(line).max(10) }), ['lines has another maxItems']],
    ['a value that is gone', placed({ delivery: z.enum(['standard']) }), ['delivery may no longer be "express"']],
    [
      'a value that is new',
      placed({ delivery: z.enum(['standard', 'express', 'drone']) }),
      ['delivery may now be "drone"'],
    ],
    [
      'any text instead of one of a list',
      placed({ delivery: z.string() }),
      ['delivery has become, or is no longer, an enum'],
    ],
    ['fields that are no longer strict', z.looseObject(OrderPlaced.shape), ['.* has another additionalProperties']],
    [
      'a change deep inside, behind a reference',
      placed({ lines: z.array(line.extend({ quantity: z.int().min(1).max(99) })) }),
      ['lines[].quantity has another maximum: 1000000 was published, 99 is new'],
    ],
  ])('that is %s is found, with the field', (_what, schema, broken) => {
    const found = breaks(committed('order.placed.v1'), jsonSchemaOf(schema));
    for (const what of broken) expect(found).toContainEqual(expect.stringContaining(what));
    expect(found).not.toEqual([]);
  });

  it.each<[what: string, schema: z.ZodType]>([
    ['an optional field more', placed({ channel: z.string().optional() })],
    ['other words', placed({ total: OrderPlaced.shape.total.meta({ description: 'In minor units' }) })],
    ['another name of what it refers to', placed({ lines: z.array(line.meta({ id: 'Line' })) })],
  ])('that is %s breaks nobody', (_what, schema) => {
    expect(breaks(committed('order.placed.v1'), jsonSchemaOf(schema))).toEqual([]);
  });

  it('is found in each field of another event too', () => {
    const fields = Object.keys(OrderShipped.shape);
    for (const field of fields) {
      const { [field]: _gone, ...rest } = OrderShipped.shape as z.ZodRawShape;
      const found = breaks(committed('order.shipped.v1'), jsonSchemaOf(z.strictObject(rest)));
      expect(found).toEqual([`${field} is gone, or has another name`]);
    }
  });
});
