// A Jest reporter that leaves a run's totals where `npm test` adds them up: out-tests/<displayName>.json of the project.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export default class Totals {
  constructor(config) {
    this.rootDir = config.rootDir;
  }

  onRunComplete(contexts, results) {
    const [context] = contexts;
    const name = (context?.config.displayName?.name ?? 'tests').replaceAll(':', '-');
    const folder = join(context?.config.rootDir ?? this.rootDir, 'out-tests');
    mkdirSync(folder, { recursive: true });
    const totals = {
      passed: results.numPassedTests,
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
    };
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(totals));
  }
}
