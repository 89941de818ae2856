import { orderCounts } from './order-counts.ts';
import type { Projection } from './projection.ts';
import { revenueByMinute } from './revenue-by-minute.ts';
import { revenueTotals } from './revenue-totals.ts';

/** Everything that is counted. */
export const PROJECTIONS: readonly Projection[] = [orderCounts, revenueTotals, revenueByMinute];
