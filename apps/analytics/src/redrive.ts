import { parseArgs } from 'node:util';
import { topology } from '@tandem/contracts/topology';
import { createPool } from '@tandem/postgres/pool';
import { readConfig } from './config.ts';
import { parkedKeys } from './consumer/parking.ts';
import { redrive } from './consumer/redrive.ts';
import { analyticsUrl } from './database.ts';
import { PROJECTIONS } from './projections/projections.ts';

// Counts parked records once their reader or they themselves have been mended: `nx run analytics:redrive --order=<id>`, or
// of all orders without one. Ends with 1 while something stays parked.
const { values } = parseArgs({ options: { order: { type: 'string' } } });
const config = readConfig();
const topic = topology(config.NAMESPACE).topics.orderEvents;
const pool = createPool({
  url: analyticsUrl(config),
  name: 'analytics.redrive',
  connectionsMax: 1,
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 10_000,
  lockTimeoutMs: 5_000,
  idleInTransactionTimeoutMs: 5_000,
  onIdleError: (error) => console.error(`The database connection was lost: ${error.message}`),
});
try {
  const keys = await parkedKeys(pool, topic, values.order);
  if (keys.length === 0) console.log(`Nothing of ${values.order ?? 'any order'} is parked.`);
  for (const key of keys) {
    const { counted, left, reason } = await redrive(pool, topic, key, PROJECTIONS, { by: 'analytics:redrive' });
    const why = reason === undefined ? '' : `: ${reason}`;
    console.log(`${key.orderId} in partition ${key.partition}: ${counted} counted, ${left} left${why}`);
    if (left > 0) process.exitCode = 1;
  }
} finally {
  await pool.end();
}
