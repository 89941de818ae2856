import { readConfig } from './config.ts';
import { recover } from './provision.ts';

if (process.argv.includes('--yes')) await recover(readConfig());
else {
  console.error(
    'This deletes the topics of the log and publishes every event again. If that is what you want, add --yes.',
  );
  process.exitCode = 1;
}
