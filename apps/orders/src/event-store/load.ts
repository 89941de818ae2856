import { ORDER_EVENT_VERSIONS, type EventVersions } from '@tandem/contracts/event-versions';
import type { StoredRejection } from '@tandem/contracts/rejections';
import { UnavailableError } from '@tandem/transports/rabbitmq/errors';
import type { ClientBase, Pool } from 'pg';
import type { Recorded } from '../order/order.ts';

export type Stored = Recorded & { position: number };

/** What was decided for a command that has been here before. */
export interface StoredOutcome {
  payloadHash: string;
  orderId: string | null;
  version: number | null;
  rejection: StoredRejection | null;
}

/** All that a batch of commands needs to be decided. */
export interface Loaded {
  outcomes: Map<string, StoredOutcome>;
  /** Histories by order id, oldest event first: of the orders named, and of those that earlier commands answered with. */
  streams: Map<string, Stored[]>;
  /** Order ids by `referenceKey`. */
  references: Map<string, string>;
}

export interface ToLoad {
  commandIds: string[];
  orderIds: string[];
  references: { customerId: string; reference: string }[];
}

/** One text for a customer and a reference; neither may hold a control character. */
export const referenceKey = (customerId: string, reference: string) => `${customerId}\n${reference}`;

const LOAD = `
  with known as (
    select id, payload_hash, order_id, version, rejection from commands where id = any($1::uuid[])
  )
  select 'command' as kind, id::text as key, payload_hash::text as text, rejection::text as data,
         order_id::text as order_id, version, null::bigint as position, null::timestamptz as at
    from known
  union all
  select 'event', null, e.type, e.data::text, e.order_id::text, e.version, e.position, e.at
    from events e where e.order_id = any($2::uuid[])
  union all
  select 'event', null, e.type, e.data::text, e.order_id::text, e.version, e.position, e.at
    from known k join events e on e.order_id = k.order_id
    where k.version is not null and e.version <= k.version and e.order_id <> all($2::uuid[])
  union all
  select 'reference', o.customer_id, o.reference, null, o.id::text, null, null, null
    from unnest($3::text[], $4::text[]) as wanted(customer_id, reference)
    join orders o on o.customer_id = wanted.customer_id and o.reference = wanted.reference`;

interface Row {
  kind: 'command' | 'event' | 'reference';
  key: string;
  text: string;
  data: string;
  order_id: string | null;
  version: number | null;
  position: bigint;
  at: Date;
}

/** Reads outcomes, streams and references of one batch in one query; events of former versions come as those of today. */
export async function load(
  db: Pool | ClientBase,
  wanted: ToLoad,
  versions: EventVersions = ORDER_EVENT_VERSIONS,
): Promise<Loaded> {
  const { rows } = await db.query<Row>({
    name: 'load-batch',
    text: LOAD,
    values: [
      wanted.commandIds,
      wanted.orderIds,
      wanted.references.map(({ customerId }) => customerId),
      wanted.references.map(({ reference }) => reference),
    ],
  });
  const loaded: Loaded = { outcomes: new Map(), streams: new Map(), references: new Map() };
  for (const row of rows) collect(loaded, row, versions);
  // Two commands of one batch may have answered with the same order, at different versions: keep each event once.
  for (const [orderId, stream] of loaded.streams) loaded.streams.set(orderId, inOrder(stream));
  return loaded;
}

function collect({ outcomes, streams, references }: Loaded, row: Row, versions: EventVersions): void {
  switch (row.kind) {
    case 'command': {
      const rejection = row.data === null ? null : (JSON.parse(row.data) as StoredRejection);
      outcomes.set(row.key, { payloadHash: row.text, orderId: row.order_id, version: row.version, rejection });
      return;
    }
    case 'event': {
      const event = storedEvent(row, versions);
      const stream = streams.get(event.orderId);
      if (stream === undefined) streams.set(event.orderId, [event]);
      else stream.push(event);
      return;
    }
    case 'reference':
      references.set(referenceKey(row.key, row.text), row.order_id as string);
  }
}

function storedEvent({ text: type, data, at, ...row }: Row, versions: EventVersions): Stored {
  const [orderId, version] = [row.order_id as string, row.version as number];
  // Without it the order would look like another, or like none. An instance that was updated already can decide on it.
  if (versions.schemaOf(type) === undefined)
    throw new UnavailableError(`Nothing was done: order ${orderId} has an event of a later version, ${type}`);
  const event = versions.upcast(type, JSON.parse(data), { orderId, version, at });
  return { ...event, orderId, version, at: at.toISOString(), position: Number(row.position) };
}

function inOrder(stream: Stored[]): Stored[] {
  const byVersion = new Map(stream.map((event) => [event.version, event]));
  return [...byVersion.values()].sort((a, b) => a.version - b.version);
}
