import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RowKey } from '../system.ts';
import { page } from './page.ts';
import { writeReadme } from './readme.ts';
import { ratiosOf, type Results, type RowResult } from './results.ts';

const latency = { count: 1, p50: 2, p99: 9, max: 10 };
function round(
  ordersPerSecond: number,
  { p50 = 2, generatorCores = 0.3, cpuPer1000 = { gateway: 0.1 } as Record<string, number> } = {},
) {
  return {
    ordersPerSecond,
    latency: { ...latency, p50 },
    statuses: { 201: 1 },
    errors: 0,
    late: 0,
    refused: undefined,
    cpuPer1000,
    residentMiB: { gateway: 100 },
    generatorCores,
    caughtUpMs: 0,
  };
}
const row = (title: string, closed: RowResult['closed']): RowResult => ({ title, closed, open: undefined });
const results = (rows: Partial<Record<RowKey, RowResult>>): Results => ({
  date: '2026-01-02T03:04:05.000Z',
  plan: 'full',
  seconds: 1,
  machine: { cores: 2, cpu: 'a <fast> one', memoryGiB: 1, platform: 'linux x64' },
  versions: { commit: 'abc' },
  ratios: {},
  void: [],
  rows,
});

describe('ratios', () => {
  it('are medians over rounds of what was measured in the same round', () => {
    const measured = results({
      full: row('full', { 200: [round(20), round(10), round(30)] }),
      stock: row('stock', { 200: [round(10), round(4), round(10)] }),
    });
    expect(ratiosOf(measured).ratios).toEqual({ full_over_stock: 2.5 });
  });

  it('of latencies compare one connection: large orders with stock as documented, small ones with stock at its best', () => {
    const measured = results({
      full: { ...row('full', { 1: [round(1, { p50: 2 })] }), large: [round(1, { p50: 3 })] },
      stock: row('stock', { 1: [round(1, { p50: 1 })] }),
      stockNagle: { ...row('stock', { 1: [round(1, { p50: 1 })] }), large: [round(1, { p50: 48 })] },
    });
    expect(ratiosOf(measured).ratios).toEqual({ p50_one_over_stock_nagle: 0.0625, p50_one_small_over_stock: 2 });
  });

  it('of CPU leave out the load, and what else ran on the machine', () => {
    const core = { gateway: 0.1, orders: 0.05, load: 5, others: 7 };
    const stock = { 'stock-gateway': 0.2, rabbitmq: 0.1, load: 3, others: 1 };
    const measured = results({
      core: row('core', { 200: [round(1, { cpuPer1000: core })] }),
      stock: row('stock', { 200: [round(1, { cpuPer1000: stock })] }),
    });
    expect(ratiosOf(measured).ratios).toEqual({ core_cpu_over_stock: 0.5 });
  });

  it('come with the rows in which the generator of load was the limit', () => {
    const measured = results({ floor: row('floor', { 1: [round(1)], 200: [round(1, { generatorCores: 0.95 })] }) });
    expect(ratiosOf(measured).void).toEqual(['floor@200']);
  });
});

describe('what is written', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tandem-bench-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const measured = results({ full: row('Tandem', { 1: [round(9)], 50: [round(99)], 200: [round(1234)] }) });

  it('replaces what stands between the marks, and leaves the rest alone', () => {
    const path = join(folder, 'README.md');
    writeFileSync(path, 'before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n');
    writeReadme(path, measured);
    writeReadme(path, measured);
    const written = readFileSync(path, 'utf8');
    expect(written).toMatch(/^before\n<!-- bench -->\n[^]*1,230[^]*\n<!-- \/bench -->\nafter\n$/);
    expect(written).not.toContain('old');
    expect(written.match(/1,230/g)).toHaveLength(1);
    expect(written).toMatch(/\| CPU +\|/);
    expect(written).toMatch(/1,230[^\n]*\| 0\.1 +\|/);
  });

  it('says what payments there were by workers, and how long express orders waited', () => {
    const one = { backlog: 1_000, providerMs: 50, expressWaitP50Ms: 80, backlogLeft: 700 };
    const payments = [
      { ...one, workers: 1, paymentsPerSecond: 44.44, expressWaitP99Ms: 1_234 },
      { ...one, workers: 4, paymentsPerSecond: 99.99, expressWaitP99Ms: 210 },
    ];
    const path = join(folder, 'README.md');
    writeFileSync(path, '<!-- bench -->\n<!-- /bench -->\n');
    writeReadme(path, { ...measured, payments });
    expect(readFileSync(path, 'utf8')).toContain(
      'Payments, of a provider that takes 50 ms, with 1, 4 workers: 44.4, 100 a second. From the placing of an express ' +
        'order to its payment, while 700 standard ones or more waited: p99 1,234, 210 ms.',
    );
    expect(page({ ...measured, payments })).toContain(
      '1 worker: p50 80 ms, p99 1,234 ms; 700 of 1,000 standard orders',
    );
  });

  it('is a page of its own, in which nothing is taken for markup', () => {
    const html = page(measured);
    expect(html).toContain('a &lt;fast&gt; one');
    expect(html).toContain('1,230');
    expect(html).not.toMatch(/<script|<link|src=|href=/);
  });
});
