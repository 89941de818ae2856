import { EventHeaders } from '@tandem/contracts/event-record';
import { ORDER_EVENT_VERSIONS } from '@tandem/contracts/event-versions';
import { readIgnoringUnknown } from '@tandem/contracts/later-versions';
import type { OrderEvent } from '@tandem/contracts/order-events';
import { EVENT_BYTES_MAX } from '@tandem/contracts/topology';
import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';
import { z } from 'zod';
import { isUsualData, usualHeaders } from './usual-record.ts';

/** An event as projections see it. */
export interface CountedEvent {
  position: bigint;
  orderId: string;
  version: number;
  at: Date;
  event: OrderEvent;
}

/** A record's place in its partition, which can be read though nothing else of it can. */
export interface Place {
  position: bigint;
  prev: bigint;
  epoch: string;
}

/** What a record is: outside of the chain, an event, or in the chain without being readable. */
export type Reading =
  | { kind: 'foreign'; reason: string }
  | { kind: 'event'; place: Place; event: CountedEvent }
  | { kind: 'unreadable'; place: Place; orderId: string | null; reason: string };

const PlaceHeaders = EventHeaders.pick({ position: true, prev: true, epoch: true });
const Subject = EventHeaders.shape.ce_subject;

/** PostgreSQL has no year 0, and the time of an event decides the row that it is counted in. */
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00.000Z');

/** Reads one record of `order.events`, of whatever version. Never throws: what cannot be read is a reading too. */
export function readRecord(record: KafkaRecord, versions = ORDER_EVENT_VERSIONS): Reading {
  let headers: ReturnType<typeof usualHeaders> = usualHeaders(record);
  if (headers === undefined) {
    const parsed = EventHeaders.safeParse(record.headers);
    if (!parsed.success) return unlessPlaced(record, `its headers are not those of an event: ${summary(parsed.error)}`);
    headers = parsed.data;
  }
  const { position, prev, epoch, version, ce_subject: orderId, ce_type: type, ce_time: time } = headers;
  const place = { position, prev, epoch };
  const unreadable = (reason: string): Reading => ({ kind: 'unreadable', place, orderId, reason });

  if (position <= prev)
    return { kind: 'foreign', reason: `its position ${position} does not come after its prev ${prev}` };
  const schema = versions.schemaOf(type);
  if (schema === undefined) return unreadable(`${type} is an unknown type of event`);
  const at = new Date(time);
  if (at.getTime() < EARLIEST_MS) return unreadable(`its time ${time} lies before the year 1`);
  if (record.value === null) return unreadable('it has no value');
  if (record.value.length > EVENT_BYTES_MAX) return unreadable(`its value takes more than ${EVENT_BYTES_MAX} bytes`);
  let data: unknown;
  try {
    data = JSON.parse(record.value.toString());
  } catch (error) {
    return unreadable(`its value is not JSON: ${(error as Error).message}`);
  }
  if (!isUsualData(type, data)) {
    const parsed = readIgnoringUnknown(schema, data);
    if (!parsed.success) return unreadable(`its value is not the data of ${type}: ${summary(parsed.error)}`);
    data = parsed.data;
  }
  const event = versions.upcast(type, data, { orderId, version, at });
  return { kind: 'event', place, event: { position, orderId, version, at, event } };
}

/** A record that has its place in the chain must move the mark, or everything after it would look like a gap. */
function unlessPlaced({ headers, key }: KafkaRecord, reason: string): Reading {
  const place = PlaceHeaders.safeParse(headers);
  if (!place.success || place.data.position <= place.data.prev) return { kind: 'foreign', reason };
  const orderId = [headers['ce_subject'], key].find((id) => Subject.safeParse(id).success) ?? null;
  return { kind: 'unreadable', place: place.data, orderId, reason };
}

function summary({ issues }: z.ZodError): string {
  const texts = issues
    .slice(0, 3)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`));
  return texts.join('; ');
}
