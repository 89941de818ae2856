import { RpcException } from '@nestjs/microservices';
import {
  ExpiredError,
  invalidMessage,
  isUnexpected,
  NotTakenError,
  OutcomeUnknownError,
  RemoteError,
  toCallerError,
  toWireError,
  UnavailableError,
} from './errors.ts';

test('what a handler throws arrives as the same outcome', () => {
  expect(toCallerError(toWireError(new UnavailableError('no database')))).toEqual(new NotTakenError('no database'));
  expect(toCallerError(toWireError(new ExpiredError('too late')))).toEqual(new NotTakenError('too late'));
  expect(toCallerError(toWireError(new OutcomeUnknownError('lost')))).toBeInstanceOf(OutcomeUnknownError);
});

test('what nobody meant for the caller stays here', () => {
  const error = new Error('duplicate key of c-42 in table orders');
  expect(toWireError(error)).toEqual({ status: 'error', code: 'internal', message: 'Internal server error' });
  expect(isUnexpected(error)).toBe(true);
  expect(toWireError({ code: 'internal', message: 'secret' }).message).toBe('Internal server error');
});

test('a text that an RpcException carries is meant for the caller', () => {
  expect(toWireError(new RpcException({ status: 'error', message: 'closed on Sundays' }))).toEqual({
    status: 'error',
    code: 'internal',
    message: 'closed on Sundays',
  });
});

test('only the fields of the wire go out', () => {
  const error = { status: 'error', code: 'unavailable', message: 'later', stack: 'secret' };
  expect(toWireError(new RpcException(error))).toEqual({ status: 'error', code: 'unavailable', message: 'later' });
});

test('broken data is reported with its paths, whatever form the schema gives them, a hundred at most', () => {
  const issues = [{ message: 'too small', path: ['lines', 0, { key: 'quantity' }] }, { message: 'missing' }];
  const error = toCallerError(toWireError(invalidMessage(issues)));
  expect(error).toBeInstanceOf(RemoteError);
  expect(error).toMatchObject({
    code: 'invalid_message',
    issues: [
      { message: 'too small', path: ['lines', 0, 'quantity'] },
      { message: 'missing', path: [] },
    ],
  });
  const many = Array.from({ length: 500 }, () => ({ message: 'wrong', path: [] }));
  expect(toWireError(invalidMessage(many)).issues).toHaveLength(100);
});

test("a stock server's errors are the service's own", () => {
  expect(toCallerError('There is no matching message handler')).toMatchObject({
    code: 'internal',
    message: /no matching/,
  });
  expect(toCallerError({ status: 'error', message: 'Internal server error' })).toBeInstanceOf(RemoteError);
  expect(toCallerError(42)).toBeInstanceOf(RemoteError);
});
