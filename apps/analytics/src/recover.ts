import { readConfig } from './config.ts';
import { forgetCounted } from './database.ts';

await forgetCounted(readConfig());
