import {
  BATCH_CONTENT_TYPE,
  BATCH_ITEMS_MAX,
  batchBody,
  batches,
  idsOf,
  MESSAGE_BYTES_MAX,
  readReply,
  readRequest,
} from './wire.ts';

const single = (body: unknown, properties: object = {}) => ({
  content: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  properties,
});
const batch = (items: unknown) => single({ items }, { contentType: BATCH_CONTENT_TYPE });

describe('reading a request', () => {
  test.each(['00-\u0000', 'x'.repeat(65), '', 7, { toString: 1, valueOf: 1 }])(
    'takes %j for no trace',
    (traceparent) => {
      const item = { id: 'a', pattern: 'order.get', traceparent };
      const batch = { ...single({ items: [item] }), properties: { contentType: BATCH_CONTENT_TYPE } };
      for (const message of [batch, single({ pattern: 'order.get' }, { headers: { traceparent } })])
        expect(readRequest(message)).toMatchObject({ items: [{ traceparent: undefined }] });
    },
  );

  test.each(['soon', { toString: 1, valueOf: 1 }, []])('does not read a message whose deadline is %j', (deadline) => {
    const headers = { 'x-deadline-ms': deadline };
    expect(readRequest(single({ pattern: 'order.get' }, { headers }))).toEqual({
      unreadable: 'x-deadline-ms is no number',
    });
  });

  test('takes the deadline and the trace of a single message from its headers', () => {
    const headers = { 'x-deadline-ms': 250, traceparent: '00-aa-bb-01' };
    expect(readRequest(single({ pattern: 'order.get', data: { n: 1 }, id: 'a' }, { headers }))).toEqual({
      items: [{ id: 'a', pattern: 'order.get', data: { n: 1 }, deadlineMs: 250, traceparent: '00-aa-bb-01' }],
    });
  });

  test('takes the correlation id of a message without an id', () => {
    const reading = readRequest(single({ pattern: 'order.get', data: 1 }, { correlationId: 'c-1' }));
    expect(reading).toMatchObject({ items: [{ id: 'c-1' }] });
  });

  test('writes a pattern that is an object as text, as Nest does', () => {
    expect(readRequest(single({ pattern: { cmd: 'sum' }, data: 1, id: 'a' }))).toMatchObject({
      items: [{ pattern: '{"cmd":"sum"}' }],
    });
  });

  test.each([
    ['text', 'hello', 'not JSON in UTF-8'],
    ['nothing', '', 'not JSON in UTF-8'],
    ['a list', '[]', 'not an object'],
    ['null', 'null', 'not an object'],
    ['no pattern', '{"data":1}', 'no pattern'],
  ])('finds %s unreadable', (_, text, reason) => {
    expect(readRequest(single(text))).toEqual({ unreadable: reason });
  });

  test('finds bytes unreadable that are no UTF-8, instead of replacing them', () => {
    const content = Buffer.concat([
      Buffer.from('{"pattern":"order.get","data":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}'),
    ]);
    expect(readRequest({ content, properties: {} })).toEqual({ unreadable: 'not JSON in UTF-8' });
  });

  test('finds a message over the limit unreadable', () => {
    const data = 'x'.repeat(MESSAGE_BYTES_MAX);
    expect(readRequest(single({ pattern: 'order.get', data }))).toMatchObject({ unreadable: /more than 1048576/ });
  });

  test('survives JSON nested a hundred thousand deep', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    expect(readRequest(single(`{"pattern":{"a":${deep}},"id":"a"}`))).toEqual({
      items: [expect.objectContaining({ id: 'a', pattern: '[unserialisable]' })],
    });
  });

  test('finds a batch unreadable that is empty, too long, or no list', () => {
    expect(readRequest(batch([]))).toHaveProperty('unreadable');
    expect(readRequest(batch('items'))).toHaveProperty('unreadable');
    const items = Array.from({ length: BATCH_ITEMS_MAX + 1 }, (_, n) => ({ id: `${n}`, pattern: 'p', data: n }));
    expect(readRequest(batch(items))).toHaveProperty('unreadable');
    expect(readRequest(batch(items.slice(1)))).toHaveProperty('items');
  });

  test('names what is wrong with one item of a batch and reads the others', () => {
    const good = { id: 'good', pattern: 'p', data: 1, deadlineMs: 10 };
    expect(
      readRequest(batch([good, 7, { pattern: 'p' }, { id: 'x' }, { id: 'y', pattern: 'p', deadlineMs: 'soon' }])),
    ).toEqual({
      items: [
        { ...good, traceparent: undefined },
        { id: undefined, reason: 'an item that is not an object', content: 7 },
        { id: undefined, reason: 'an item without an id', content: { pattern: 'p' } },
        { id: 'x', reason: 'an item without a pattern', content: { id: 'x' } },
        expect.objectContaining({ id: 'y', reason: 'deadlineMs is no number' }),
      ],
    });
  });
});

describe('reading a reply', () => {
  test('takes the id of a single answer from its correlation id', () => {
    expect(readReply(single({ response: 0, isDisposed: true }, { correlationId: '7' }))).toEqual([
      { id: '7', wellFormed: true, response: 0, err: undefined },
    ]);
  });

  test('calls an answer malformed that is neither a response, nor an error, nor an end', () => {
    for (const body of ['{}', '7', 'oops', '[]', '{"err":null}'])
      expect(readReply(single(body, { correlationId: '7' }))).toMatchObject([{ id: '7', wellFormed: false }]);
  });

  test('reads each item of a batch by itself', () => {
    const items = [{ id: '1', response: 'one', isDisposed: true }, 'oops', { id: '2', err: 'no' }, { id: '3' }];
    expect(readReply(batch(items))).toEqual([
      { id: '1', wellFormed: true, response: 'one', err: undefined },
      { id: undefined, wellFormed: false, response: undefined, err: undefined },
      { id: '2', wellFormed: true, response: undefined, err: 'no' },
      { id: '3', wellFormed: false, response: undefined, err: undefined },
    ]);
  });

  test('gives up on a batch that is no batch', () => {
    expect(
      readReply({ content: Buffer.from('oops'), properties: { contentType: BATCH_CONTENT_TYPE } }),
    ).toBeUndefined();
  });
});

test('a returned message names its requests', () => {
  expect(idsOf(single({ pattern: 'p', data: 1, id: '5' }, { correlationId: '5' }))).toEqual(['5']);
  expect(
    idsOf(
      batch([
        { id: '1', pattern: 'p' },
        { id: '2', pattern: 'p' },
      ]),
    ),
  ).toEqual(['1', '2']);
});

describe('cutting batches', () => {
  const entries = (...sizes: number[]) => sizes.map((bytes) => ({ bytes }));
  const sizes = (cut: { bytes: number }[][]) => cut.map((one) => one.map(({ bytes }) => bytes));

  test('nothing gives no batch', () => {
    expect(batches([], 64, 100)).toEqual([]);
  });

  test('closes a batch at its number of items', () => {
    expect(sizes(batches(entries(1, 2, 3, 4, 5), 2, 100))).toEqual([[1, 2], [3, 4], [5]]);
  });

  test('closes a batch before it grows past its bytes, and lets a larger entry stand alone', () => {
    expect(sizes(batches(entries(60, 40, 1, 500, 2, 3), 64, 100))).toEqual([[60, 40], [1], [500], [2, 3]]);
  });
});

test('a batch body is the JSON of its items, as it was', () => {
  expect(JSON.parse(batchBody(['{"id":"1"}', '{"id":"ü"}']).toString())).toEqual({ items: [{ id: '1' }, { id: 'ü' }] });
});
