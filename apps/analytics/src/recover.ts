import { readConfig } from './config.ts';
import { forgetCounted } from './database.ts';

if (process.argv.includes('--yes')) await forgetCounted(readConfig());
else {
  console.error('This deletes what was counted, to count it again from the log. If that is what you want, add --yes.');
  process.exitCode = 1;
}
