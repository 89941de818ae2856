/**
 * Runs a service until it is told to stop, by SIGTERM or SIGINT. The signals are listened for before anything is begun, and once
 * is enough: one that comes while the service starts waits for its start, and one that comes again changes nothing, because
 * whoever stops a process group, and a supervisor besides, send several.
 *
 * @param start resolves with what stops the service: finishes what is under way, and lets go of everything.
 * @param stopMsMax what hangs for longer after the signal is cut off, so that the process ends.
 */
export function runUntilSignal(start: () => Promise<() => Promise<void>>, stopMsMax: number): void {
  const started = Promise.resolve().then(start);
  let isStopping = false;
  const onSignal = () => {
    if (isStopping) return;
    isStopping = true;
    setTimeout(() => process.exit(1), stopMsMax).unref();
    started.then((stop) => stop()).then(() => process.exit(0), fail);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  started.catch(fail);
}

function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}
