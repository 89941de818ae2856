import { readConfig } from './config.ts';
import { provision } from './provision.ts';

await provision(readConfig());
