import { topology } from '@tandem/contracts/topology';
import { tellProvider } from '@tandem/tools/provider.mjs';
import { Kafka, logLevel } from 'kafkajs';
import { until } from './faults/waiting.testing.ts';
import { checkQueues } from './queues.testing.ts';

const KAFKA_BROKERS = (process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092').split(',');
const { queues, groups } = topology(process.env['NAMESPACE'] ?? '');

// Workers leave their queues alone while the provider fails, as it does outside the tests of payments.
beforeAll(() => tellProvider('approve'));
afterAll(() => tellProvider('fail'));

describe('work is shared', () => {
  it('by three orders and two payments, which take from the same queues', async () => {
    const consumers = async (names: string[]) => (await checkQueues(names)).map((one) => one.consumers);
    expect(await consumers([queues.orderCommands, queues.orderQueries])).toEqual([3, 3]);
    const jobs = [
      queues.paymentsCard,
      queues.paymentsCardExpress,
      queues.paymentsInvoice,
      queues.paymentsInvoiceExpress,
    ];
    await until('both workers take jobs', async () => (await consumers(jobs)).every((count) => count === 2));
  });

  it('by two analytics, each with partitions of its own', async () => {
    const kafka = new Kafka({ brokers: KAFKA_BROKERS, logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    try {
      await until('both are members', async () => {
        const [group] = (await admin.describeGroups([groups.analytics])).groups;
        return group?.state === 'Stable' && group.members.length === 2;
      });
    } finally {
      await admin.disconnect();
    }
  });
});
