// What the package exports, whatever the entry.

export type { Message, WebSocketConstructor, WebSocketLike } from './connection.js';
export { FreshsocketError, type ErrorInfo, type ErrorKind } from './error.js';
export type {
  CloseAction,
  Credential,
  Duplicates,
  Endpoint,
  Endpoints,
  HeartbeatOptions,
  Json,
  LimitOptions,
  Matcher,
  Method,
  OutboxMode,
  OutboxOptions,
  Preset,
  ReconnectOptions,
  RefreshOptions,
  Renewal,
  RetryOptions,
  WhenFull,
} from './options.js';
export { Session, type SessionEvents, type SessionOptions, type SocketOptions, type TokenAnswer, type WasmSource } from './session.js';
export { Socket, type Sending, type SocketEvents } from './socket.js';
export type { Ended, SessionEvent, SessionState, SignOutCause, SocketEvent, SocketState } from './states.js';
