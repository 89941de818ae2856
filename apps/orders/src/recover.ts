import { readConfig } from './config.ts';
import { recover } from './provision.ts';

await recover(readConfig());
