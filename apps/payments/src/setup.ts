import { readConfig } from './config.ts';
import { setUpDatabase } from './database.ts';

// Queues and exchanges are declared by whoever publishes or consumes.
await setUpDatabase(readConfig());
