import type { WebSocketConstructor } from './connection.js';
import { Listeners, States } from './emitter.js';
import { errorFrom, FreshsocketError } from './error.js';
import { Host, type SessionSide, type TokenAnswer, type World } from './host.js';
import type * as options from './options.js';
import { Socket } from './socket.js';
import type { SessionEvent, SessionState } from './states.js';
import { watchDevice } from './wake.js';
import { Client } from './wasm/freshsocket.js';

/** Options of a socket; the URL is an argument of its own. */
export type SocketOptions = Omit<options.SocketOptions, 'url'>;

/** Options of a session: those of the core, and what the platform brings. */
export interface SessionOptions extends options.SessionOptions {
  /** Options of sockets that are opened without them. */
  socket?: SocketOptions;
  /** What makes requests. @default globalThis.fetch */
  fetch?: typeof globalThis.fetch;
  /** What makes connections, for example that of the npm package `ws` in Node 20. @default globalThis.WebSocket */
  WebSocket?: unknown;
  /**
   * With `preset: 'callback'`: gives a token, or `null` when nobody is signed in. When it throws or takes longer than
   * `requestTimeoutMs`, the session is `unreachable` and asks again later. `force`: a server refused the last one, so a
   * cached one will not do.
   */
  token?: World['token'];
  /** Where the WebAssembly file is, or what is in it. Counts for the first session only. */
  wasm?: WasmSource;
}

/** The WebAssembly file: its URL, an answer with it, its bytes, or a compiled module. */
export type WasmSource = string | URL | Response | Promise<Response> | BufferSource | WebAssembly.Module;

/** What a session's `on` listens to. */
export interface SessionEvents {
  /** The state changed. */
  state: SessionState;
  /** Something happened that is no state: a refresh begins, a token expires soon. */
  event: SessionEvent;
}

export type { TokenAnswer };

/** How long before expiry a token counts as expiring soon, if not said otherwise (S5). */
const SOON_MS = 300_000;
/** How long the end waits for closing handshakes. */
const END_MS = 2_000;

/** A session: signs in, keeps the token fresh, and opens sockets that always carry a valid one. */
export class Session implements SessionSide {
  #host: Host;
  #defaults: SocketOptions;
  #state: SessionState = { state: 'signedOut', cause: 'notSignedIn' };
  #token: string | null = null;
  #freshUntil = 0;
  #freshUntilUnix = 0;
  #user: unknown = null;
  #lastSocket = 0;
  #open = new Set<Socket>();
  #states = new States<SessionState>();
  #events = new Listeners<SessionEvent>();
  #tokens = new Listeners<string>();
  #unwatch: () => void;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(given: SessionOptions) {
    const { socket, fetch, WebSocket, token, wasm: _, ...session } = given;
    this.#defaults = socket ?? {};
    this.#host = new Host({
      fetch: fetch ?? ((input, init) => globalThis.fetch(input, init)),
      WebSocket: (WebSocket ?? (globalThis as { WebSocket?: unknown }).WebSocket) as WebSocketConstructor | undefined,
      token,
      tokenTimeoutMs: given.requestTimeoutMs ?? 15_000,
    });
    this.#host.session = this;
    const seed = crypto.getRandomValues(new Uint32Array(2));
    try {
      const json = JSON.stringify({ session });
      this.#host.start(new Client(json, token !== undefined, seed[0] as number, seed[1] as number, this.#host));
    } catch (error) {
      throw typeof error === 'string' ? errorFrom(error) : error;
    }
    this.#unwatch = watchDevice(this.#host);
  }

  /** The state now. */
  get state(): SessionState {
    return this.#state;
  }

  /** The user record that the server gave with the tokens; `null`: none. */
  get user(): unknown {
    return this.#user;
  }

  /**
   * Signs in with what the login endpoint wants, for example `{ username, password }`. Gives the user record.
   *
   * @throws FreshsocketError `loginRefused`, `unreachable`, `malformedAnswer`, `unsupported`, `superseded`, `disposed`
   */
  async login(credentials: Record<string, string>): Promise<unknown> {
    const pairs = Object.entries(credentials).flat();
    const user = await this.#host.call((client, call) => client.login(call, pairs));
    return (this.#user = user === undefined ? null : JSON.parse(user));
  }

  /** Takes tokens from elsewhere: the application's own login, a deep link. */
  async adopt(tokens: { access: string; refresh?: string; expiresInMs?: number }): Promise<void> {
    const { access, refresh, expiresInMs } = tokens;
    await this.#host.call((client, call) => client.adopt(call, access, refresh, expiresInMs ?? -1));
  }

  /** Signs out: here always, at the server if it can be reached. Gives whether it could. Closes all sockets. */
  async logout(): Promise<boolean> {
    const revoked = await this.#host.call((client, call) => client.logout(call));
    return revoked === 'true';
  }

  /** Asks the server whether it takes the token. */
  async verify(): Promise<boolean> {
    return (await this.#host.call((client, call) => client.verify(call))) === 'true';
  }

  /**
   * A token that is valid for the margin if the server can be reached, else a still valid one, else `null`: `state`
   * says whether nobody is signed in, or the server is unreachable and when it is tried again. Any number of calls at
   * expiry make one refresh.
   *
   * @throws FreshsocketError `disposed`
   */
  async ensureValidToken(): Promise<string | null> {
    if (this.#token !== null && performance.now() < this.#freshUntil && Date.now() < this.#freshUntilUnix) {
      return this.#token;
    }
    try {
      return (await this.#host.call((client, call) => client.token(call))) ?? null;
    } catch (error) {
      const kind = error instanceof FreshsocketError ? error.kind : undefined;
      if (kind === 'signedOut' || kind === 'unreachable') return null;
      throw error;
    }
  }

  /** Calls `callback` with every new token, in order; the function that is returned ends that. */
  onTokenRefresh(callback: (token: string) => void): () => void {
    return this.#tokens.add(callback);
  }

  /** Whether the token expires within so many milliseconds (5 minutes), or there is none. */
  isTokenExpiringSoon(bufferMs = SOON_MS): boolean {
    return this.#host.isOver || this.#host.client.expiresWithin(bufferMs);
  }

  /** Calls `listener` for each; the function that is returned ends that. A listener that throws is reported. */
  on<K extends keyof SessionEvents>(name: K, listener: (value: SessionEvents[K]) => void): () => void {
    const all = { state: this.#states, event: this.#events };
    return (all[name] as Listeners<unknown>).add(listener as (value: unknown) => void);
  }

  /** The state now, then each that follows; of those that nobody read in time the last 64. */
  states(): AsyncIterableIterator<SessionState> {
    return this.#states.read(this.#state);
  }

  /**
   * Opens a socket, which connects at once unless `autoConnect` is off.
   *
   * @throws FreshsocketError `invalidOptions`, `insecureUrl`, naming the field; `unsupported`, where the platform has no
   *   WebSocket and none was given; `disposed`
   */
  socket(url: string, given: SocketOptions = {}): Socket {
    if (!this.#host.canConnect) {
      const message = 'there is no WebSocket here: give one as the option `WebSocket`, for example of the npm package ws';
      throw new FreshsocketError({ kind: 'unsupported', message });
    }
    const all = { ...this.#defaults, ...given, url };
    const id = (this.#lastSocket += 1);
    const gone = () => void this.#open.delete(socket);
    const socket: Socket = new Socket(this.#host, id, JSON.stringify({ socket: all }), all.limits ?? {}, gone);
    this.#open.add(socket);
    return socket;
  }

  /** Closes all sockets and ends the client. Does not sign out: that is `logout`. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- what the host tells ---

  /** @internal */
  published(state: SessionState, token: string | null, freshUntil: number, freshUntilUnix: number): void {
    const changed = JSON.stringify(state) !== JSON.stringify(this.#state);
    this.#state = state;
    this.#token = token;
    this.#freshUntil = freshUntil;
    this.#freshUntilUnix = freshUntilUnix;
    if (state.state === 'signedOut') this.#user = null;
    if (changed) this.#host.say(() => this.#states.call(state));
  }

  /** @internal */
  happened(event: SessionEvent): void {
    this.#host.say(() => this.#events.call(event));
  }

  /** @internal */
  refreshed(token: string): void {
    this.#host.say(() => this.#tokens.call(token));
  }

  async #end(): Promise<void> {
    this.#unwatch();
    for (const socket of [...this.#open]) void socket[Symbol.asyncDispose]();
    this.#token = null;
    await this.#host.end(END_MS);
    this.#states.end();
  }
}
