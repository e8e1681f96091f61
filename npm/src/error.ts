/** What went wrong, to switch on: the kinds of docs/errors.md, the same on every platform. */
export type ErrorKind =
  | 'invalidOptions'
  | 'insecureUrl'
  | 'signedOut'
  | 'unreachable'
  | 'loginRefused'
  | 'unsupported'
  | 'malformedAnswer'
  | 'answerTooLarge'
  | 'refused'
  | 'storeFailed'
  | 'callbackFailed'
  | 'notConnected'
  | 'outboxFull'
  | 'messageExpired'
  | 'messageTooLarge'
  | 'identityChanged'
  | 'closed'
  | 'attemptsExhausted'
  | 'superseded'
  | 'disposed';

/** An error as it stands in states and events. It holds no token. */
export interface ErrorInfo {
  /** What went wrong, to switch on. */
  readonly kind: ErrorKind;
  /** What happened, in words. */
  readonly message: string;
  /** The option that is wrong. */
  readonly field?: string;
  /** The HTTP status, where there was one. */
  readonly status?: number;
  /** What the layer below said. */
  readonly cause?: string;
  /** When the SDK tries again, in milliseconds since 1970. */
  readonly nextAttempt?: number;
}

/** What calls throw. `message` says all of it in one line, for logs; it holds no token. */
export class FreshsocketError extends Error {
  override readonly name = 'FreshsocketError';
  /** What went wrong, to switch on. */
  readonly kind: ErrorKind;
  /** The option that is wrong. */
  readonly field: string | undefined;
  /** The HTTP status, where there was one. */
  readonly status: number | undefined;
  /** When the SDK tries again, in milliseconds since 1970. */
  readonly nextAttempt: number | undefined;

  constructor(info: ErrorInfo, text = info.message) {
    super(text, info.cause === undefined ? undefined : { cause: info.cause });
    this.kind = info.kind;
    this.field = info.field;
    this.status = info.status;
    this.nextAttempt = info.nextAttempt;
  }
}

/** An error that crossed from the machine: its sentence and its JSON. */
export function errorFrom(json: string): FreshsocketError {
  const [text, info] = JSON.parse(json) as [string, ErrorInfo];
  return new FreshsocketError(info, text);
}

/** An error of the client after its end. */
export function disposed(): FreshsocketError {
  return new FreshsocketError({ kind: 'disposed', message: 'the session was closed' });
}
