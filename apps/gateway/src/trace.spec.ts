import { requestIdOf, traceOf } from './trace.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('the id of a request', () => {
  it("is the caller's own if it is a sane one", () => {
    expect(requestIdOf('checkout/42:7')).toBe('checkout/42:7');
  });

  it.each([undefined, '', 'a b', 'x'.repeat(129), 'a\u0000', 'é', ['a', 'b']])(
    'is a new one instead of %j',
    (header) => {
      expect(requestIdOf(header)).toMatch(/^[0-9a-f]{32}$/);
      expect(requestIdOf(header)).not.toBe(requestIdOf(header));
    },
  );
});

describe('the trace of a request', () => {
  const traced = (traceparent: string | undefined, tracestate?: string | string[], id = 'r') =>
    traceOf({ id, headers: { traceparent, tracestate } });

  it.each([
    ['version 00', `00-${TRACE}-${SPAN}-00`, '00'],
    ['version 00, sampled', `00-${TRACE}-${SPAN}-01`, '01'],
    ['a later version', `01-${TRACE}-${SPAN}-01`, '01'],
    ['a later version that says more', `cc-${TRACE}-${SPAN}-00-what-ever`, '00'],
    ['a later version that says nothing more', `fe-${TRACE}-${SPAN}-01-`, '01'],
    ['flags that are not known here', `00-${TRACE}-${SPAN}-ff`, '01'],
    ['flags that are not known here, not sampled', `00-${TRACE}-${SPAN}-02`, '00'],
  ])("continues the caller's of %s with a span of its own, as version 00", (_what, header, flags) => {
    const { traceparent } = traced(header);
    expect(traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-${flags}$`));
    expect(traceparent).not.toContain(SPAN);
  });

  it('is named like the request when there is none to continue', () => {
    expect(traced(undefined, undefined, TRACE).traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  });

  it.each([
    ['version ff', `ff-${TRACE}-${SPAN}-00`],
    ['version 00 that says more', `00-${TRACE}-${SPAN}-00-x`],
    ['a later version that goes on without a dash', `01-${TRACE}-${SPAN}-00x`],
    ['no trace id', `00-${'0'.repeat(32)}-${SPAN}-00`],
    ['no parent id', `00-${TRACE}-${'0'.repeat(16)}-00`],
    ['capitals', `00-${TRACE.toUpperCase()}-${SPAN}-00`],
    ['anything else', 'none'],
  ])('is a new one, without the state, for a header with %s', (_what, header) => {
    const made = traced(header, 'vendor=1');
    expect(made).toEqual({ traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/) });
    expect(made.traceparent).not.toContain(TRACE);
  });

  it("passes on the caller's state as it is, if it is one that can be passed on", () => {
    const header = `00-${TRACE}-${SPAN}-01`;
    const state = 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7';
    expect(traced(header, state).tracestate).toBe(state);
    expect(traced(header, 'x'.repeat(512)).tracestate).toHaveLength(512);
    for (const odd of [undefined, 'x'.repeat(513), 'a=\u0000', 'a=é'])
      expect(traced(header, odd)).not.toHaveProperty('tracestate');
  });
});
