import { customers } from './customers.ts';
import { durations } from './durations.ts';
import { funnel } from './funnel.ts';
import { orderCounts } from './order-counts.ts';
import { products } from './products.ts';
import type { Projection } from './projection.ts';
import { rates } from './rates.ts';
import { refunds } from './refunds.ts';
import { revenueByTime } from './revenue-by-time.ts';
import { revenueTotals } from './revenue-totals.ts';

/** Everything that is counted. */
export const PROJECTIONS: readonly Projection[] = [
  orderCounts,
  revenueTotals,
  revenueByTime,
  refunds,
  funnel,
  durations,
  products,
  customers,
  rates,
];
