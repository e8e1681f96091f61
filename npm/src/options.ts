// Made by `node npm/scripts/types.mjs` from docs/options.schema.json. Change the doc comments of sdk-core, not this.

/** What a close code means (W7). */
export type CloseAction = "retry" | "refreshThenRetry" | "stop" | "stopOnRepeat";

/** Where the credential travels (W2). Every attempt takes a fresh one. */
export type Credential = {
  /**
   * The marker, usually `access_token`.
   * @default "access_token"
   */
  name?: string;
  placement: "subprotocol";
} | {
  /**
   * The parameter's name, usually `token`.
   * @default "token"
   */
  parameter?: string;
  placement: "query";
} | {
  /**
   * The header's name, usually `Authorization`.
   * @default "Authorization"
   */
  name?: string;
  placement: "header";
  /**
   * What stands before the token, usually `Bearer ` (with the space).
   * @default "Bearer "
   */
  prefix?: string;
} | {
  /** The cookie's name; absent: the session's cookies. */
  name?: string;
  placement: "cookie";
} | {
  placement: "firstMessage";
  /** The message; a string is sent as it is, anything else as JSON. */
  template?: Json;
} | {
  /** JSON body, if the endpoint wants one. */
  body?: Json;
  /**
   * The HTTP method.
   * @default "POST"
   */
  method?: Method;
  /**
   * The query parameter that carries it.
   * @default "ticket"
   */
  parameter?: string;
  placement: "ticket";
  /**
   * JSON pointer to the ticket in the answer.
   * @default "/ticket"
   */
  pointer?: string;
  /**
   * Path below the session's `baseUrl`, or a whole URL.
   * @default ""
   */
  url?: string;
} | {
  placement: "none";
};

/**
 * Which messages count as the same while two connections overlap in a handover (W5). A server that sends to all
 * connections of a user sends to both.
 */
export type Duplicates = {
  by: "payload";
} | {
  by: "id";
  /** The JSON pointer, for example `/id`. */
  pointer: string;
} | {
  by: "none";
};

/** One HTTP endpoint: how to ask and where the answer's fields stand. */
export interface Endpoint {
  /**
   * JSON pointer to the access token in the answer.
   * @default "/access"
   */
  access?: string;
  /**
   * Send `Authorization: Bearer <access token>`.
   * @default false
   */
  bearer?: boolean;
  /** JSON body with placeholders such as `{refresh}`; absent: no body (for login: the credentials as given). */
  body?: Json;
  /**
   * JSON pointer to the lifetime in seconds.
   * @default "/expires_in"
   */
  expiresIn?: string;
  /**
   * The HTTP method.
   * @default "POST"
   */
  method?: Method;
  /**
   * Path below `baseUrl`, or a whole URL of the same origin.
   * @default ""
   */
  path?: string;
  /**
   * JSON pointer to the refresh token in the answer; where nothing stands the old one is kept.
   * @default "/refresh"
   */
  refresh?: string;
  /**
   * JSON pointer to the user record.
   * @default "/user"
   */
  user?: string;
}

/** The HTTP endpoints of a managed session. */
export interface Endpoints {
  /** Signs in. Placeholders in the body: the names given to `login`. */
  login?: Endpoint;
  /** Revokes. Placeholders in the body: `{refresh}`, `{access}`. */
  logout?: Endpoint;
  /** Buys a new token. Placeholder in the body: `{refresh}`. Absent: the server has no refresh route. */
  refresh?: Endpoint;
  /** Says whether a token is good. Placeholder in the body: `{access}`. */
  verify?: Endpoint;
}

/** How a dead connection is noticed (W9). */
export interface HeartbeatOptions {
  /**
   * Ping after this long without receiving anything, in milliseconds; 0: never.
   * @default 25000
   */
  intervalMs?: number;
  /** Send this message instead of a WebSocket ping (browsers cannot ping). */
  message?: Json;
  /**
   * The same after a wake (the device slept, the network changed), when a dead connection is likely, in milliseconds.
   * @default 2500
   */
  probeTimeoutMs?: number;
  /** The server's answer to `message`; it is not delivered to the application. */
  reply?: Matcher;
  /**
   * Dead when nothing arrives for this long after the ping, in milliseconds.
   * @default 10000
   */
  timeoutMs?: number;
}

/**
 * A JSON value: a body template, a user record, an expected value. Small on purpose: the machine compares and
 * copies such values and computes nothing with them.
 */
export type Json = null | boolean | number | number | string | Json[] | { [key: string]: Json };

/** Bounds of one socket (W11). */
export interface LimitOptions {
  /**
   * The largest message accepted and sent, in bytes; checked before memory is taken for it.
   * @default 4194304
   */
  maxMessageBytes?: number;
  /**
   * Bytes of received messages that wait for the application; reading stops at this many.
   * @default 8388608
   */
  receiveBytes?: number;
  /**
   * Received messages that wait for the application; reading stops at this many.
   * @default 256
   */
  receiveMessages?: number;
}

/**
 * A predicate over a JSON text message: for each JSON pointer, the value that must stand there, or an array of
 * values of which one must. `{"/type": "error", "/message": ["Token required", "Invalid or expired token"]}`.
 *
 * A message that is not JSON matches nothing. An empty matcher matches nothing.
 */
export type Matcher = { [key: string]: Json };

/** An HTTP method. */
export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Whether messages wait for a connection. */
export type OutboxMode = "queue" | "reject";

/** What happens to messages sent while there is no connection (W10). */
export interface OutboxOptions {
  /**
   * A message that waited longer than this, in milliseconds, fails as expired; 0: no limit.
   * @default 60000
   */
  maxAgeMs?: number;
  /**
   * At most this many bytes of payload are kept.
   * @default 1048576
   */
  maxBytes?: number;
  /**
   * At most this many messages are kept.
   * @default 1000
   */
  maxMessages?: number;
  /**
   * Keep them or refuse them.
   * @default "queue"
   */
  mode?: OutboxMode;
  /**
   * Which message loses when the outbox is full.
   * @default "rejectNew"
   */
  whenFull?: WhenFull;
}

/** The kinds of auth server that work without further configuration. */
export type Preset = "simpleJwt" | "nodeJwt" | "tokenOnly" | "cookie" | "callback" | "custom";

/** When to try again, and when not (W6). */
export interface ReconnectOptions {
  /** The delay before each retry. */
  delay?: RetryOptions;
  /**
   * A connection that lived this long, in milliseconds, or delivered a message, counts as healthy, and only then the
   * count of attempts starts again.
   * @default 5000
   */
  healthyAfterMs?: number;
  /** Give up after this many failed attempts in a row; absent: never. The end of a healthy connection is none. */
  maxAttempts?: number;
}

/** When and how to refresh (S6, S8). */
export interface RefreshOptions {
  /**
   * Header that carries one key per rotation, so that a server which honours it can answer again when its answer
   * was lost. Absent: not sent.
   */
  idempotencyHeader?: string;
  /**
   * Refresh this part of the lifetime before expiry at most; the smaller of the two is the margin.
   * @default 0.2
   */
  marginFraction?: number;
  /**
   * Refresh this long before expiry at most, in milliseconds.
   * @default 300000
   */
  marginMs?: number;
  /**
   * Refresh on a timer, without being asked. When off, only a call or a refusal refreshes.
   * @default true
   */
  proactive?: boolean;
  /** HTTP statuses by which the refresh endpoint refuses; every other failure means unreachable. */
  refusedStatuses?: number[];
  /** The delay after an attempt that did not reach the server; by default 2,000 ms, doubled each time, up to 30,000. */
  retry?: RetryOptions;
}

/** What to do with the live connection when the token is refreshed (W4). */
export type Renewal = {
  mode: "handover";
} | {
  /**
   * The server's answer that it has taken the new token. Where it does not come within `connectTimeoutMs`, a
   * handover follows. Absent: sent is taken for done.
   */
  ack?: Matcher;
  mode: "inBand";
  /** The message; a string is sent as it is, anything else as JSON. */
  template?: Json;
} | {
  mode: "reconnect";
} | {
  mode: "keep";
};

/** An exponential delay: retry number n waits a uniform draw from 0 to `min(capMs, baseMs · factor^n)`. */
export interface RetryOptions {
  /**
   * The ceiling of the first delay, in milliseconds.
   * @default 7000
   */
  baseMs?: number;
  /**
   * The highest ceiling, in milliseconds.
   * @default 30000
   */
  capMs?: number;
  /**
   * What the ceiling is multiplied with after each failure; at least 1.
   * @default 1.1
   */
  factor?: number;
}

/** How to sign in and stay signed in. */
export interface SessionOptions {
  /**
   * Allows `http://` to hosts other than loopback. Tokens then travel in clear text.
   * @default false
   */
  allowInsecure?: boolean;
  /**
   * Origin (and path prefix, if any) of the auth server, e.g. `https://api.example.com`. Required by every
   * preset but `callback`.
   * @default ""
   */
  baseUrl?: string;
  /** Endpoints that differ from the preset's; a given endpoint replaces the preset's whole. */
  endpoints?: Endpoints;
  /**
   * The largest HTTP answer that is read, in bytes; a larger one is refused unread.
   * @default 1048576
   */
  maxAnswerBytes?: number;
  /**
   * Which kind of server this is; sets every endpoint that `endpoints` does not.
   * @default "simpleJwt"
   */
  preset?: Preset;
  /** When and how to refresh. */
  refresh?: RefreshOptions;
  /**
   * How long any one request or token callback may take, in milliseconds; a longer one counts as unreachable.
   * @default 15000
   */
  requestTimeoutMs?: number;
}

/** How to connect and stay connected. */
export interface SocketOptions {
  /**
   * Allows `ws://` with a credential to hosts other than loopback.
   * @default false
   */
  allowInsecure?: boolean;
  /**
   * Messages by which the server refuses the credential. The default knows the usual ones; it is tried on the last
   * text message before a close. Given explicitly, every text message is tried.
   */
  authError?: Matcher[];
  /**
   * Connect as soon as the socket is made, without a call.
   * @default true
   */
  autoConnect?: boolean;
  /** What to do on a close code: additions to and changes of the default table, by code. */
  closeCodes?: { [key: string]: CloseAction };
  /**
   * How long one attempt may take from the first packet to ready, in milliseconds.
   * @default 15000
   */
  connectTimeoutMs?: number;
  /** How the connection shows who it is. */
  credential?: Credential;
  /** Which messages count as the same while two connections overlap in a handover. */
  duplicates?: Duplicates;
  /** How a dead connection is noticed. */
  heartbeat?: HeartbeatOptions;
  /** Bounds. */
  limits?: LimitOptions;
  /** What happens to messages sent while there is no connection. */
  outbox?: OutboxOptions;
  /** The message that proves the connection ready (a welcome); absent: it is ready when it is open. */
  ready?: Matcher;
  /** When to try again, and when not. */
  reconnect?: ReconnectOptions;
  /** What to do with the live connection when the token is refreshed. */
  renewal?: Renewal;
  /** Subprotocols to offer (the credential's pair, where it is one, comes after these). */
  subprotocols?: string[];
  /**
   * `ws://` or `wss://` URL.
   * @default ""
   */
  url?: string;
}

/** Which message loses when the outbox is full. */
export type WhenFull = "rejectNew" | "dropOldest";
