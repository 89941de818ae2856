import Decoder from 'kafkajs/src/protocol/decoder.js';
import encodeRecord from 'kafkajs/src/protocol/recordBatch/record/v0/index.js';
import decodeRecord from 'kafkajs/src/protocol/recordBatch/record/v0/decoder.js';
import type { KafkaMessage } from 'kafkajs';
import fc from 'fast-check';
import { HeaderTexts, readHeadersAsText } from './header-texts.ts';
import { toRecord } from './kafka-batch.ts';

const { readVarIntArray } = Decoder.prototype;

/** What kafkajs makes of the headers of a record. */
function decoded(headers: Record<string, string | Buffer | null | (string | Buffer)[]>) {
  const { buffer } = encodeRecord({ key: Buffer.from('k'), value: Buffer.from('v'), headers });
  const decoder = new Decoder(buffer);
  decoder.readVarInt();
  return decodeRecord(new Decoder(buffer.subarray(decoder.offset)), { firstOffset: '0', firstTimestamp: '0' }).headers;
}

/** As handlers see them. */
const texts = (headers: object) =>
  toRecord({ offset: '0', timestamp: '0', key: null, value: null, headers } as KafkaMessage).headers;

const EVENT = { ce_id: '1:1', 'content-type': 'application/json', position: '12', empty: '' };

describe('The headers of a record', () => {
  afterEach(() => {
    Decoder.prototype.readVarIntArray = readVarIntArray;
  });

  it('are Buffers as kafkajs reads them', () => {
    expect(decoded({ position: '12' })).toEqual({ position: Buffer.from('12') });
  });

  it('are read at once as text when they are plain', () => {
    readHeadersAsText();
    const headers = decoded(EVENT);
    expect(headers).toBeInstanceOf(HeaderTexts);
    expect(headers).toEqual(EVENT);
  });

  it.each([
    ['a value that is not ASCII', { a: 'ä' }],
    ['a value that is not text', { a: Buffer.from([0xff, 0xfe]) }],
    ['a value too long for a length of one byte', { a: 'x'.repeat(64) }],
    ['a name twice', { a: ['1', '2'] }],
  ])('are left to kafkajs with %s', (_, headers) => {
    const stock = decoded(headers);
    readHeadersAsText();
    expect(decoded(headers)).not.toBeInstanceOf(HeaderTexts);
    expect(decoded(headers)).toEqual(stock);
  });

  it('say the same either way, whatever they are', () => {
    const value = fc.oneof(fc.string({ maxLength: 70, unit: 'grapheme' }), fc.string({ maxLength: 70 }));
    const name = fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('__proto__', 'toString', 'constructor'));
    const headers = fc.dictionary(name, fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 })));
    fc.assert(
      fc.property(headers, (headers) => {
        Decoder.prototype.readVarIntArray = readVarIntArray;
        const stock = texts(decoded(headers));
        readHeadersAsText();
        expect({ ...texts(decoded(headers)) }).toEqual({ ...stock });
      }),
    );
  });
});
