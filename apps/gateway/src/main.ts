import 'reflect-metadata';
import { readConfig } from './config.ts';
import { serve, stopOnSignal } from './serve.ts';

const config = readConfig();
stopOnSignal(await serve(config), config);
