import { hash } from 'node:crypto';
import {
  CancelOrder,
  CloseRefund,
  ConfirmDelivery,
  PlaceOrder,
  RecordDecline,
  RecordPayment,
  RecordRefund,
  RecordRefundDecline,
  RefundOrder,
  ShipOrder,
} from '@tandem/contracts/order-commands';
import { z } from 'zod';
import type { OrderCommand } from './decide.ts';

const BODIES: Readonly<Record<Exclude<OrderCommand['type'], 'ExpireOrder'>, z.ZodObject>> = {
  PlaceOrder,
  CancelOrder,
  ShipOrder,
  ConfirmDelivery,
  RefundOrder,
  CloseRefund,
  RecordPayment,
  RecordDecline,
  RecordRefund,
  RecordRefundDecline,
};

/** Defaults of the first version: the hashes that it stored contain them, so hashes contain them for ever. */
const HASHED_DEFAULTS = ['adjustments', 'delivery', 'payment'];

type Defaults = ReadonlyMap<string, string>;
const NO_DEFAULTS: Defaults = new Map();

/**
 * The defaults of a body that were added after the first version, as canonical JSON by field. A field that has its default is
 * left out of the hash: a caller who retries across a deployment has not sent it, and an older orders did not know it.
 */
export function laterDefaultsOf(body: z.ZodObject): Defaults {
  return new Map(
    Object.entries(body.shape).flatMap(([field, schema]) =>
      schema instanceof z.ZodDefault && !HASHED_DEFAULTS.includes(field)
        ? [[field, canonical(schema.def.defaultValue)] as const]
        : [],
    ),
  );
}

const LATER_DEFAULTS = new Map<string, Defaults>(
  Object.entries(BODIES).map(([type, body]) => [type, laterDefaultsOf(body)]),
);

/**
 * The first 128 bits of the SHA-256 of what was asked, as a UUID's text: equal for bodies that say the same, whatever the
 * order of their keys, and whichever version of orders fills in their defaults.
 */
export function payloadHashOf(
  asked: { type: OrderCommand['type']; body?: object },
  laterDefaults = LATER_DEFAULTS.get(asked.type) ?? NO_DEFAULTS,
): string {
  const { body } = asked;
  const sent =
    body === undefined || laterDefaults.size === 0 ? asked : { ...asked, body: without(laterDefaults, body) };
  const digest = hash('sha256', canonical(sent), 'hex');
  return digest.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function without(defaults: Defaults, body: object): object {
  return Object.fromEntries(Object.entries(body).filter(([field, value]) => canonical(value) !== defaults.get(field)));
}

/** JSON with the keys of every object in order. Written by hand: a replacer that sorts takes a third longer. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const entries = value as Record<string, unknown>;
  let json = '';
  for (const key of Object.keys(entries).sort())
    if (entries[key] !== undefined)
      json += `${json === '' ? '' : ','}${JSON.stringify(key)}:${canonical(entries[key])}`;
  return `{${json}}`;
}
