import { PlaceOrder } from '@tandem/contracts/order-commands';
import { OrderId } from '@tandem/contracts/order';
import { ContractPipe, jsonPointer } from './contract.pipe.ts';
import { OrdersParameters } from './orders/order-pages.ts';
import { ProblemError } from './problem.ts';

const pipe = new ContractPipe();
const smallest = { customerId: 'c-42', currency: 'EUR', lines: [{ sku: 'A-1', quantity: 2, unitPrice: 1250 }] };

function errorsOf(pass: () => unknown) {
  try {
    pass();
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'invalid_request') return error.members.errors;
    throw error;
  }
  throw new Error('Nothing was refused');
}

describe('bodies', () => {
  const body = (value: unknown) => pipe.transform(value, { type: 'body', schema: PlaceOrder });

  it('are handed on as they were sent, without defaults', () => {
    expect(body(smallest)).toEqual(smallest);
  });

  it.each([
    ['an unknown field', { ...smallest, colour: 'red' }, '/colour', 'is not a field of this request'],
    [
      'an unknown field within',
      { ...smallest, payment: { method: 'card', pan: 1 } },
      '/payment/pan',
      'is not a field of this request',
    ],
    ['a missing field', { ...smallest, customerId: undefined }, '/customerId', 'is required'],
    ['a missing choice', { ...smallest, currency: undefined }, '/currency', 'is required'],
    ['a wrong choice', { ...smallest, delivery: 'drone' }, '/delivery', 'must be standard or express'],
    [
      'a wrong one of many',
      { ...smallest, currency: 'EURO' },
      '/currency',
      'is not one of the values that it may have',
    ],
    [
      'a text for a number',
      { ...smallest, lines: [{ ...smallest.lines[0], quantity: '2' }] },
      '/lines/0/quantity',
      'must be a whole number',
    ],
    [
      'a fraction',
      { ...smallest, lines: [{ ...smallest.lines[0], quantity: 1.5 }] },
      '/lines/0/quantity',
      'must be a whole number',
    ],
    [
      'a negative number',
      { ...smallest, lines: [{ ...smallest.lines[0], unitPrice: -1 }] },
      '/lines/0/unitPrice',
      'must be at least 0',
    ],
    ['an empty list', { ...smallest, lines: [] }, '/lines', 'must have at least 1 items'],
    ['an empty text', { ...smallest, reference: '' }, '/reference', 'must have at least 1 characters'],
    ['a long text', { ...smallest, reference: 'x'.repeat(65) }, '/reference', 'must have at most 64 characters'],
    ['a slash in a key', { ...smallest, 'a/b~c': 1 }, '/a~1b~0c', 'is not a field of this request'],
  ])('with %s are refused where it stands', (_what, value, pointer, detail) => {
    expect(errorsOf(() => body(value))).toContainEqual({ pointer, detail });
  });

  it.each([[null], [[]], ['text'], [42]])('that are %j instead of an object are refused as a whole', (value) => {
    expect(errorsOf(() => body(value))).toEqual([{ pointer: '', detail: 'must be an object' }]);
  });

  it('that are missing are as good as empty', () => {
    expect(errorsOf(() => body(undefined))).toContainEqual({ pointer: '/customerId', detail: 'is required' });
  });

  it('name fifty mistakes at most', () => {
    const lines = Array.from({ length: 100 }, () => ({}));
    expect(errorsOf(() => body({ ...smallest, lines }))).toHaveLength(50);
  });
});

describe('parameters', () => {
  const query = (value: unknown) => pipe.transform(value, { type: 'query', schema: OrdersParameters });

  it('are read from texts', () => {
    expect(query({ limit: '7', status: 'paid' })).toEqual({ limit: 7, status: 'paid' });
    expect(query({})).toEqual({ limit: 20 });
  });

  it.each([
    ['limit', '0', 'must be at least 1'],
    ['limit', '101', 'must be at most 100'],
    ['limit', '1e1', 'must be a whole number'],
    ['limit', '1.5', 'must be a whole number'],
    ['limit', '', 'must be a whole number'],
    ['limit', ['1', '2'], 'must be a whole number'],
    ['customer', '', 'must have at least 1 characters'],
    ['status', 'lost', 'must be placed or paid or shipped or delivered or cancelled'],
    ['page', '2', 'is not a parameter of this request'],
  ])('%s=%j is refused by its name', (parameter, value, detail) => {
    expect(errorsOf(() => query({ [parameter]: value }))).toEqual([{ parameter, detail }]);
  });

  it('in the path are refused by their name, too', () => {
    const pass = () => pipe.transform('42', { type: 'param', data: 'id', schema: OrderId });
    expect(errorsOf(pass)).toEqual([{ parameter: 'id', detail: 'must be a UUID' }]);
  });
});

it('a pointer escapes what RFC 6901 says', () => {
  expect(jsonPointer(['a/b', 'c~d', 0])).toBe('/a~1b/c~0d/0');
  expect(jsonPointer([])).toBe('');
});
