import { readConfig } from './config.ts';
import { setUpDatabase } from './database.ts';

// Queues are declared by their consumer as it starts, topics by orders, which publishes to them.
await setUpDatabase(readConfig());
