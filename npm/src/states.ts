// The states and events of docs: the JSON form that is the same on every platform. Times are milliseconds since 1970.

import type { ErrorInfo } from './error.js';

/** Why nobody is signed in. */
export type SignOutCause =
  | 'notSignedIn'
  | 'loggedOut'
  | 'refreshRefused'
  | 'refreshInterrupted'
  | 'expired'
  | 'signedOutElsewhere'
  | 'saidByCallback';

/** The session's state: why, and what happens next. */
export type SessionState =
  | { readonly state: 'restoring' }
  | { readonly state: 'signedOut'; readonly cause: SignOutCause }
  | { readonly state: 'active'; readonly expiresAt: number | null }
  | { readonly state: 'refreshing'; readonly expiresAt: number | null }
  | {
      readonly state: 'unreachable';
      readonly since: number;
      readonly cause: ErrorInfo;
      readonly nextAttempt: number;
      readonly expiresAt: number | null;
    };

/** What happened to the session, beyond its state. */
export type SessionEvent =
  | { readonly event: 'refreshStarted'; readonly why: 'timer' | 'needed' | 'refused' | 'retry' }
  | { readonly event: 'refreshed'; readonly token: number; readonly expiresAt: number | null }
  | { readonly event: 'refreshFailed'; readonly error: ErrorInfo }
  | { readonly event: 'expiringSoon'; readonly expiresAt: number }
  | { readonly event: 'storeFailed'; readonly error: ErrorInfo };

/** How a connection, or an attempt at one, ended. */
export type Ended =
  | { readonly how: 'closed'; readonly code: number; readonly reason: string }
  | { readonly how: 'lost'; readonly detail: string }
  | { readonly how: 'silent' }
  | { readonly how: 'http'; readonly status: number }
  | { readonly how: 'unreachable'; readonly detail: string }
  | { readonly how: 'timedOut' }
  | { readonly how: 'authMessage' }
  | { readonly how: 'noToken'; readonly cause: ErrorInfo }
  | { readonly how: 'replaced' }
  | { readonly how: 'asked' };

/** A socket's state: why, and what happens next. */
export type SocketState =
  | { readonly state: 'idle' }
  | { readonly state: 'waitingForSession' }
  | { readonly state: 'authenticating' }
  | { readonly state: 'connecting'; readonly attempt: number }
  | { readonly state: 'open' }
  | { readonly state: 'backoff'; readonly attempt: number; readonly cause: Ended; readonly nextAttempt: number }
  | { readonly state: 'offline' }
  | { readonly state: 'refused'; readonly cause: Ended }
  | {
      readonly state: 'closed';
      readonly by: 'application' | 'server' | 'attemptsExhausted';
      readonly code: number;
      readonly reason: string;
    };

/** What happened on a socket. */
export type SocketEvent =
  | {
      readonly event: 'attempt';
      readonly attempt: number;
      readonly placement: string;
      readonly token: number;
      readonly handover: boolean;
    }
  | { readonly event: 'opened'; readonly subprotocol: string | null; readonly handover: boolean }
  | { readonly event: 'ended'; readonly ended: Ended; readonly willRetry: boolean }
  | { readonly event: 'renewed' }
  | { readonly event: 'oneConnectionPerUser' }
  | { readonly event: 'authRefused'; readonly ended: Ended }
  | { readonly event: 'unread'; readonly count: number }
  | { readonly event: 'sendFailed'; readonly send: number; readonly error: ErrorInfo };
