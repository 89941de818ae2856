import { runUntilSignal } from '@tandem/telemetry/stop-on-signal';
import { readConfig } from './config.ts';
import { Ledger } from './ledger.ts';
import { Provider } from './provider.ts';

const { PROVIDER_HOST, PROVIDER_PORT, PROVIDER_FILE } = readConfig();
const provider = new Provider(Ledger.open(PROVIDER_FILE));
runUntilSignal(async () => {
  const port = await provider.listen(PROVIDER_PORT, PROVIDER_HOST);
  console.log(JSON.stringify({ level: 'info', service: 'provider', msg: `Provider listens on port ${port}` }));
  return () => provider.drain();
}, 15_000);
