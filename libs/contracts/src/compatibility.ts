/** A schema as `z.toJSONSchema` writes it. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** Keywords that say nothing about what is valid. */
const ANNOTATIONS = new Set([
  '$schema',
  '$id',
  '$defs',
  'id',
  'title',
  'description',
  'example',
  'examples',
  'default',
]);

/** Keywords that are compared part by part, by `compare`. */
const STRUCTURAL = new Set(['$ref', 'type', 'properties', 'required', 'additionalProperties', 'items', 'enum']);

/**
 * What a change of a published schema would break, each with the field that it is about: nothing, or the change needs a new
 * version. What was written stays for ever and what is written is read by programs that still have the published schema, so
 * a change must be good in both directions, and little is: an optional property that is new, which a reader passes over,
 * and words. (Avro's and the Schema Registry's FULL compatibility, for JSON.) A keyword that is not known here counts as broken when it
 * differs.
 *
 * @param published as it was committed
 * @param today as it would be published now
 */
export function breaks(published: JsonSchema, today: JsonSchema): string[] {
  return compare({ root: published, at: published }, { root: today, at: today }, '');
}

/** A schema, and the document in which its references are looked up. */
interface Place {
  root: JsonSchema;
  at: JsonSchema;
}

function compare(before: Place, after: Place, field: string): string[] {
  const [old, now] = [resolved(before), resolved(after)];
  const said = (what: string) => `${field === '' ? 'the whole' : field} ${what}`;
  const broken: string[] = [];
  const keywords = new Set([...Object.keys(old.at), ...Object.keys(now.at)]);
  for (const keyword of keywords) {
    if (ANNOTATIONS.has(keyword) || STRUCTURAL.has(keyword)) continue;
    const [was, is] = [expanded(old, old.at[keyword]), expanded(now, now.at[keyword])];
    if (!same(was, is)) broken.push(said(`has another ${keyword}: ${text(was)} was published, ${text(is)} is new`));
  }
  if (!same(old.at['type'], now.at['type']))
    broken.push(said(`has another type: ${text(old.at['type'])} was published, ${text(now.at['type'])} is new`));
  broken.push(...compareEnums(old.at['enum'], now.at['enum'], said), ...compareProperties(old, now, field));
  for (const keyword of ['items', 'additionalProperties'])
    broken.push(...comparePart(old, now, keyword, keyword === 'items' ? `${field}[]` : `${field}.*`));
  return broken;
}

/** Unknown values break readers that were not told of them, and values that are gone lie in the log. */
function compareEnums(old: unknown, now: unknown, said: (what: string) => string): string[] {
  if (!Array.isArray(old) || !Array.isArray(now))
    return same(old, now) ? [] : [said('has become, or is no longer, an enum')];
  const gone = old.filter((value) => !now.includes(value)).map((value) => said(`may no longer be ${text(value)}`));
  const more = now.filter((value) => !old.includes(value)).map((value) => said(`may now be ${text(value)}`));
  return [...gone, ...more];
}

function compareProperties(old: Place, now: Place, field: string): string[] {
  const [was, is] = [propertiesOf(old.at), propertiesOf(now.at)];
  const [needed, needs] = [requiredOf(old.at), requiredOf(now.at)];
  const nameOf = (property: string) => (field === '' ? property : `${field}.${property}`);
  const broken: string[] = [];
  for (const [property, schema] of was) {
    const next = is.get(property);
    if (next === undefined) broken.push(`${nameOf(property)} is gone, or has another name`);
    else broken.push(...compare({ ...old, at: schema }, { ...now, at: next }, nameOf(property)));
    if (next !== undefined && needed.has(property) && !needs.has(property))
      broken.push(`${nameOf(property)} may now be missing, which its readers do not expect`);
  }
  for (const property of needs)
    if (!needed.has(property)) broken.push(`${nameOf(property)} is now required, and missing in what was written`);
  return broken;
}

function comparePart(old: Place, now: Place, keyword: string, field: string): string[] {
  const [was, is] = [old.at[keyword], now.at[keyword]];
  if (isSchema(was) && isSchema(is)) return compare({ ...old, at: was }, { ...now, at: is }, field);
  return same(was, is) ? [] : [`${field} has another ${keyword}: ${text(was)} was published, ${text(is)} is new`];
}

/** The schema that a reference means, together with what stands beside the reference. */
function resolved({ root, at }: Place): Place {
  const { $ref: reference, ...beside } = at;
  if (typeof reference !== 'string') return { root, at };
  const name = reference.replace('#/$defs/', '');
  const meant = (root['$defs'] as Record<string, JsonSchema> | undefined)?.[name];
  if (meant === undefined) throw new Error(`${reference} is not defined.`);
  return resolved({ root, at: { ...meant, ...beside } });
}

/** A value of a keyword with all references replaced and annotations left out, so that two can be compared whole. */
function expanded(place: Place, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((part) => expanded(place, part));
  if (!isSchema(value)) return value;
  const { at } = resolved({ ...place, at: value });
  return Object.fromEntries(
    Object.entries(at)
      .filter(([keyword]) => !ANNOTATIONS.has(keyword))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([keyword, part]) => [keyword, expanded(place, part)]),
  );
}

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const propertiesOf = (schema: JsonSchema) =>
  new Map(Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>));
const requiredOf = (schema: JsonSchema) => new Set((schema['required'] ?? []) as string[]);
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
const text = (value: unknown) => (value === undefined ? 'none' : JSON.stringify(value).slice(0, 200));
