// Preloaded into a service (`--import`): makes it one of the next version, in which orders have one optional and one defaulted
// field more.
import { registerHooks } from 'node:module';

const BEFORE = 'PlaceOrder = z.strictObject({';
const AFTER = `${BEFORE} giftNote: z.string().max(200).optional(), giftWrap: z.boolean().default(false),`;

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    if (!url.endsWith('/libs/contracts/src/order-commands.ts')) return loaded;
    const source = String(loaded.source);
    if (!source.includes(BEFORE)) throw new Error(`There is no ${BEFORE} in ${url}.`);
    return { ...loaded, source: source.replace(BEFORE, AFTER) };
  },
});
