import { Logger as NestLogger } from '@nestjs/common';
import { createLogger, type LogLevel } from './logger.ts';

describe('the logger', () => {
  const lines: Record<string, unknown>[] = [];
  const logger = (level: LogLevel = 'info') =>
    createLogger({ service: 'orders', level }, { write: (text) => void lines.push(JSON.parse(text)) });
  beforeEach(() => void lines.splice(0));

  it('writes one JSON object a line, with the service, the level by name and the time', () => {
    logger().log('started');
    expect(lines).toEqual([{ level: 'info', service: 'orders', msg: 'started', time: expect.any(String) }]);
    expect(new Date(String(lines[0]?.['time'])).toISOString()).toBe(lines[0]?.['time']);
  });

  it("takes what Nest's own Logger passes on: context, stack, fields", () => {
    NestLogger.overrideLogger(logger());
    try {
      const nest = new NestLogger('Relay');
      nest.error('lost', 'Error: lost\n    at there (file.ts:1:1)');
      nest.warn({ position: 7, msg: 'behind' });
      nest.error('lost', new Error('broken pipe'));
    } finally {
      NestLogger.overrideLogger(false);
    }
    expect(lines).toMatchObject([
      { level: 'error', context: 'Relay', msg: 'lost', err: { stack: expect.stringContaining('at there') } },
      { level: 'warn', context: 'Relay', msg: 'behind', position: 7 },
      { level: 'error', context: 'Relay', msg: 'lost', err: { type: 'Error', message: 'broken pipe' } },
    ]);
  });

  it('writes an error with its stack and its cause', () => {
    logger().error(new Error('outer', { cause: new Error('inner') }));
    expect(lines).toMatchObject([{ msg: 'outer', err: { stack: expect.any(String), cause: { message: 'inner' } } }]);
  });

  it("keeps Nest's account of its wiring for the debug level", () => {
    logger().log('Mapped {/v1/orders, POST} route', 'RouterExplorer');
    expect(lines).toEqual([]);
    logger('debug').log('Mapped {/v1/orders, POST} route', 'RouterExplorer');
    expect(lines).toMatchObject([{ level: 'debug', context: 'RouterExplorer' }]);
  });

  it('drops what is below its level', () => {
    const quiet = logger('warn');
    quiet.log('info');
    quiet.debug('debug');
    quiet.verbose('trace');
    quiet.warn('warn');
    expect(lines.map((line) => line['msg'])).toEqual(['warn']);
  });
});
