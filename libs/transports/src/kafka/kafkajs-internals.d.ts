// Parts of kafkajs 2.2.4 that it does not export. They are CommonJS.
declare module 'kafkajs/src/protocol/decoder.js' {
  export default class Decoder {
    buffer: Buffer;
    offset: number;
    constructor(buffer: Buffer);
    readVarInt(): number;
    readVarIntArray(reader: (decoder: Decoder) => unknown): { reduce(...args: never[]): unknown };
  }
}
declare module 'kafkajs/src/protocol/recordBatch/header/v0/decoder.js' {
  import type Decoder from 'kafkajs/src/protocol/decoder.js';
  export default function readHeader(decoder: Decoder): { key: string; value: Buffer | null };
}
declare module 'kafkajs/src/protocol/recordBatch/record/v0/index.js' {
  export default function encodeRecord(record: { key: Buffer; value: Buffer; headers: object }): { buffer: Buffer };
}
declare module 'kafkajs/src/protocol/recordBatch/record/v0/decoder.js' {
  import type Decoder from 'kafkajs/src/protocol/decoder.js';
  export default function decodeRecord(
    decoder: Decoder,
    batch: { firstOffset: string; firstTimestamp: string },
  ): { headers: object };
}
