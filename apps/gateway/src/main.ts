import 'reflect-metadata';
import { runUntilSignal } from '@tandem/telemetry/stop-on-signal';
import { readConfig } from './config.ts';
import { serve } from './serve.ts';

const config = readConfig();
runUntilSignal(async () => (await serve(config)).stop, config.STOP_DELAY_MS + config.STOP_MS + 12_000);
