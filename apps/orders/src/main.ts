import 'reflect-metadata';
import { runUntilSignal } from '@tandem/telemetry/stop-on-signal';
import { readConfig } from './config.ts';
import { serve } from './serve.ts';

const config = readConfig();
runUntilSignal(() => serve(config), 15_000);
