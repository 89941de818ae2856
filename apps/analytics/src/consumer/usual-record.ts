import type { EventHeaders } from '@tandem/contracts/event-record';
import { CURRENCIES } from '@tandem/contracts/money';
import { CancellationCause } from '@tandem/contracts/order';
import type { KafkaRecord } from '@tandem/transports/kafka/kafka-batch';

// Records as they usually are, recognised at a third of what their schemas cost. These checks take less than the schemas do,
// never more (a property test compares them): what they do not recognise is for the schemas to judge, and to explain.

type Headers = Pick<EventHeaders, 'ce_subject' | 'ce_type' | 'ce_time' | 'position' | 'prev' | 'epoch' | 'version'>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const INSTANT = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/;
const DECIMAL = /^\d{1,18}$/;
const VERSION = /^[1-9]\d{0,8}$/;
const TYPE = /^[a-z0-9.-]{1,200}$/;
/** Printable ASCII, which every identifier and text may hold. */
const TEXT = /^[ -~]+$/;
const CURRENCY = new Set<unknown>(CURRENCIES);
const CAUSES = new Set<unknown>(CancellationCause.options);

/** The headers of an event, or undefined if they are not as usual. */
export function usualHeaders({ headers }: KafkaRecord): Headers | undefined {
  const { ce_id, ce_type, ce_source, ce_subject, ce_time, traceparent, position, prev, epoch, version } = headers;
  if (
    headers['ce_specversion'] !== '1.0' ||
    headers['content-type'] !== 'application/json' ||
    !ce_id ||
    !ce_source ||
    (traceparent !== undefined && traceparent.length > 64) ||
    !matches(TYPE, ce_type) ||
    !matches(UUID, ce_subject) ||
    !matches(INSTANT, ce_time) ||
    !matches(DECIMAL, position) ||
    !matches(DECIMAL, prev) ||
    !matches(UUID, epoch) ||
    !matches(VERSION, version)
  )
    return undefined;
  return {
    ce_type,
    ce_subject,
    ce_time,
    position: BigInt(position),
    prev: BigInt(prev),
    epoch,
    version: Number(version),
  };
}

/** Whether this is the data of a type of event as it usually is. False says nothing: its schema decides. */
export function isUsualData(type: string, data: unknown): boolean {
  if (!isRecord(data)) return false;
  switch (type) {
    case 'order.placed.v1':
      return isUsualPlacing(data);
    case 'order.payment-recorded.v1':
      return hasKeys(data, 3) && isText(data['paymentId'], 64) && isAmount(data['amount']) && isCurrency(data);
    case 'order.shipped.v1':
      return (
        hasKeys(data, 3 + given(data['carrier']) + given(data['trackingCode'])) &&
        isNumber(data['shipmentId']) &&
        isTextIfGiven(data['carrier'], 64) &&
        isTextIfGiven(data['trackingCode'], 128) &&
        typeof data['complete'] === 'boolean' &&
        isListOf(data['lines'], isLineQuantity)
      );
    case 'order.delivered.v1':
      return hasKeys(data, 0);
    case 'order.cancelled.v1':
      return (
        hasKeys(data, 1 + given(data['reason'])) && CAUSES.has(data['cause']) && isTextIfGiven(data['reason'], 500)
      );
    case 'order.payment-declined.v1':
      return hasKeys(data, 1) && isText(data['reason'], 500);
    case 'order.refund-requested.v1':
      return (
        hasKeys(data, 3 + given(data['lines']) + given(data['reason'])) &&
        isNumber(data['refundId']) &&
        isAmount(data['amount']) &&
        isCurrency(data) &&
        (data['lines'] === undefined || isListOf(data['lines'], isLineQuantity)) &&
        isTextIfGiven(data['reason'], 500)
      );
    case 'order.refund-recorded.v1':
      return hasKeys(data, 3) && isNumber(data['refundId']) && isAmount(data['amount']) && isCurrency(data);
    case 'order.refund-declined.v1':
    case 'order.refund-closed.v1':
      return (
        hasKeys(data, 4) &&
        isNumber(data['refundId']) &&
        isAmount(data['amount']) &&
        isCurrency(data) &&
        isText(data['reason'], 500)
      );
    default:
      return false;
  }
}

type Unchecked = Readonly<Record<string, unknown>>;

function isUsualPlacing(data: Unchecked): boolean {
  const { payment } = data;
  return (
    hasKeys(data, 7 + given(data['reference'])) &&
    isText(data['customerId'], 64) &&
    isCurrency(data) &&
    isListOf(data['lines'], isLine) &&
    isListOf(data['adjustments'], isAdjustment) &&
    isAmount(data['total']) &&
    (data['delivery'] === 'standard' || data['delivery'] === 'express') &&
    isRecord(payment) &&
    hasKeys(payment, 1) &&
    (payment['method'] === 'card' || payment['method'] === 'invoice') &&
    isTextIfGiven(data['reference'], 64)
  );
}

const isLine = (line: Unchecked) =>
  hasKeys(line, 4) &&
  isNumber(line['id']) &&
  isText(line['sku'], 64) &&
  isQuantity(line['quantity']) &&
  isAmount(line['unitPrice']);

const isLineQuantity = (line: Unchecked) => hasKeys(line, 2) && isNumber(line['id']) && isQuantity(line['quantity']);

const isAdjustment = ({ kind, amount, ...more }: Unchecked) =>
  hasKeys(more, 0) &&
  Number.isSafeInteger(amount) &&
  (((kind === 'shipping' || kind === 'tax') && (amount as number) >= 0) ||
    (kind === 'discount' && (amount as number) <= 0));

const matches = (pattern: RegExp, text: string | undefined): text is string => text !== undefined && pattern.test(text);
const isRecord = (value: unknown): value is Unchecked =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isListOf = (value: unknown, is: (entry: Unchecked) => boolean) =>
  Array.isArray(value) && value.every((entry) => isRecord(entry) && is(entry));
const isText = (value: unknown, lengthMax: number) =>
  typeof value === 'string' && value.length <= lengthMax && TEXT.test(value);
const isTextIfGiven = (value: unknown, lengthMax: number) => value === undefined || isText(value, lengthMax);
const isAmount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isNumber = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1;
const isQuantity = (value: unknown) => isNumber(value) && (value as number) <= 1_000_000;
const isCurrency = ({ currency }: Unchecked) => CURRENCY.has(currency);
const given = (value: unknown) => (value === undefined ? 0 : 1);

/** As many keys, so that none is there which was not looked at. */
function hasKeys(value: object, count: number): boolean {
  let left = count;
  for (const _ in value) left -= 1;
  return left === 0;
}
