// Preloaded into a service (`--import`): ends it, as `kill -9` would, at one exact point of its own code; or stops it there
// (`"signal": "SIGSTOP"`), to go on from the same point when it is woken up.
// CRASH_AT names the point: { "module": URL, "class", "method", "first": end of the first argument, "call": n, "when" } for
// the n-th call of a method, { "sql": pattern, "call": n, "when" } for the n-th query like that; `when` is before or after.
const at = JSON.parse(process.env.CRASH_AT ?? 'null');

function crashing(original, counts) {
  let calls = 0;
  return function (...args) {
    const now = counts(args) && ++calls === at.call;
    const { signal = 'SIGKILL' } = at;
    const crash = () => process.kill(process.pid, signal);
    if (now && at.when === 'before') crash();
    const result = original.apply(this, args);
    if (!now || at.when === 'before') return result;
    return Promise.resolve(result).then((value) => {
      crash();
      return signal === 'SIGKILL' ? new Promise(() => undefined) : value;
    });
  };
}

if (at?.sql !== undefined) {
  const { default: pg } = await import('pg');
  const pattern = new RegExp(at.sql);
  const counts = ([query]) => pattern.test(typeof query === 'string' ? query : (query?.text ?? ''));
  pg.Client.prototype.query = crashing(pg.Client.prototype.query, counts);
} else if (at !== null) {
  const { prototype } = (await import(at.module))[at.class];
  const counts = ([first]) => at.first === undefined || String(first).endsWith(at.first);
  prototype[at.method] = crashing(prototype[at.method], counts);
}
