import 'reflect-metadata';
import { runUntilSignal } from '@tandem/telemetry/stop-on-signal';
import { readConfig } from './config.ts';
import { serve } from './serve.ts';

const config = readConfig();
runUntilSignal(async () => {
  const app = await serve(config);
  return () => app.close();
}, 15_000);
