import { requestIdOf, traceparentOf } from './trace.ts';

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
  it("continues the caller's with a span of its own and the caller's flags", () => {
    const ours = traceparentOf(`00-${TRACE}-${SPAN}-00`, 'r');
    expect(ours).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    expect(ours).not.toContain(SPAN);
  });

  it('is named like the request when there is none to continue', () => {
    expect(traceparentOf(undefined, TRACE)).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  });

  it.each([
    ['another version', `01-${TRACE}-${SPAN}-00`],
    ['no trace id', `00-${'0'.repeat(32)}-${SPAN}-00`],
    ['no parent id', `00-${TRACE}-${'0'.repeat(16)}-00`],
    ['capitals', `00-${TRACE.toUpperCase()}-${SPAN}-00`],
    ['anything else', 'none'],
  ])('is a new one for a header with %s', (_what, header) => {
    const made = traceparentOf(header, 'r');
    expect(made).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(made).not.toContain(TRACE);
  });
});
