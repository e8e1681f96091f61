// What the driver in WebAssembly performs its outputs with: see sdk-wasm/src/host.rs for what each method has to do.

import { Connection, type Message, type WebSocketConstructor } from './connection.js';
import { type FreshsocketError, disposed, errorFrom } from './error.js';
import { describe, perform, TooLarge } from './http.js';
import { report } from './emitter.js';
import type { SessionEvent, SessionState, SocketEvent, SocketState } from './states.js';
import type { Client } from './wasm/freshsocket.js';

/** What the token callback of a `callback` session answers: a token, or `null` when nobody is signed in. */
export type TokenAnswer = { token: string; expiresInMs?: number } | null;

/** What the application brings. */
export interface World {
  fetch: typeof globalThis.fetch;
  WebSocket: WebSocketConstructor | undefined;
  token: ((request: { force: boolean; signal: AbortSignal }) => Promise<TokenAnswer> | TokenAnswer) | undefined;
  /** How long the token callback may take. */
  tokenTimeoutMs: number;
}

/** The session, as it hears of things. */
export interface SessionSide {
  published(state: SessionState, token: string | null, freshUntil: number, freshUntilUnix: number): void;
  happened(event: SessionEvent): void;
  refreshed(token: string): void;
}

/** A socket, as it hears of things. */
export interface SocketSide {
  direct(connection: Connection | undefined): void;
  published(state: SocketState): void;
  happened(event: SocketEvent): void;
  brought(message: Message): void;
  sent(send: number): void;
  failed(send: number, error: FreshsocketError): void;
}

interface Call {
  resolve: (answer: string | undefined) => void;
  reject: (error: unknown) => void;
}

export class Host {
  readonly sockets = new Map<number, SocketSide>();
  session: SessionSide | undefined;
  #client: Client | undefined;
  #connections = new Map<number, Connection>();
  #requests = new Map<number, AbortController>();
  #calls = new Map<number, Call>();
  #lastCall = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What the application is to hear, in order, once the client is at rest. */
  #news: (() => void)[] = [];
  #entered = 0;
  #tells = false;
  #scheduled = false;
  #quiet: (() => void) | undefined;

  constructor(private readonly world: World) {}

  start(client: Client): void {
    this.#client = client;
  }

  /** Whether there is something to connect with. */
  get canConnect(): boolean {
    return typeof this.world.WebSocket === 'function';
  }

  get isOver(): boolean {
    return this.#client === undefined;
  }

  /** The client, for calls of the application. */
  get client(): Client {
    if (!this.#client) throw disposed();
    return this.#client;
  }

  /** A call that is answered later. */
  call(act: (client: Client, call: number) => void): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const client = this.client;
      const call = (this.#lastCall += 1);
      this.#calls.set(call, { resolve, reject });
      act(client, call);
    });
  }

  /** Something happened: tells the client, then the application what came of it. */
  readonly enter = (act: (client: Client) => void): void => {
    const client = this.#client;
    if (!client) return;
    this.#entered += 1;
    try {
      act(client);
    } finally {
      this.#entered -= 1;
    }
    if (this.#entered === 0) this.#tell();
  };

  /** Ends everything; resolves when the connections are closed, or after `ms`. */
  async end(ms: number): Promise<void> {
    // Not in the middle of a call of the client's, wherever the application was when it asked.
    await null;
    if (this.#connections.size > 0) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#quiet = resolve;
        timer = setTimeout(resolve, ms);
      });
      clearTimeout(timer);
    }
    const client = this.#client;
    if (!client) return;
    for (const connection of [...this.#connections.values()]) connection.abort();
    this.#tell();
    this.#client = undefined;
    clearTimeout(this.#timer);
    for (const abort of this.#requests.values()) abort.abort();
    for (const call of this.#calls.values()) call.reject(disposed());
    this.#calls.clear();
    client.free();
  }

  // --- what the driver asks for ---

  http(
    effect: number,
    method: string,
    url: string,
    headers: string[],
    body: string | undefined,
    maxAnswerBytes: number,
    timeoutMs: number,
  ): void {
    const request = { method, url, headers, body, maxAnswerBytes, timeoutMs };
    this.#answer(effect, async (abort) => {
      try {
        const { status, body, retryAfter, date } = await perform(this.world.fetch, request, abort);
        return (client) => client.httpAnswered(effect, status, body, retryAfter, date);
      } catch (error) {
        const detail = abort.signal.aborted ? `no answer within ${timeoutMs} ms` : describe(error);
        return (client) => client.httpFailed(effect, error instanceof TooLarge, detail);
      }
    });
  }

  cancel(effect: number): void {
    const abort = this.#requests.get(effect);
    this.#requests.delete(effect);
    abort?.abort();
  }

  ask(effect: number, force: boolean): void {
    this.#answer(effect, async (abort) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      try {
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error('it took too long')), this.world.tokenTimeoutMs);
        });
        // Not before the client is at rest: the callback is the application's.
        const asked = Promise.resolve().then(() => this.world.token?.({ force, signal: abort.signal }) ?? null);
        const answer = await Promise.race([asked, late]);
        if (answer !== null && typeof answer?.token !== 'string') throw new Error('it gave no token');
        return (client) => client.callbackAnswered(effect, answer?.token, answer?.expiresInMs ?? -1);
      } catch (error) {
        const why = error instanceof Error ? error.message : 'it threw';
        return (client) => client.callbackFailed(effect, why);
      } finally {
        clearTimeout(timer);
      }
    });
  }

  connect(conn: number, url: string, protocols: string[], first: string | undefined, maxBytes: number): void {
    const over = () => {
      this.#connections.delete(conn);
      if (this.#connections.size === 0) this.#quiet?.();
    };
    const connection = new Connection(conn, this.enter, over, maxBytes);
    this.#connections.set(conn, connection);
    // Without one no socket can be made.
    if (this.world.WebSocket) connection.open(this.world.WebSocket, url, protocols, first);
  }

  transmit(conn: number, socket: number, send: number, data: Message): void {
    const connection = this.#connections.get(conn);
    if (!connection?.send(data)) connection?.keep(send, data);
    else if (send > 0) this.sockets.get(socket)?.sent(send);
  }

  direct(socket: number, conn: number): void {
    this.sockets.get(socket)?.direct(this.#connections.get(conn));
  }

  close(conn: number, code: number, reason: string, linger: boolean): void {
    this.#connections.get(conn)?.close(code, reason, linger);
  }

  hurry(conn: number): void {
    this.#connections.get(conn)?.hurry();
  }

  abort(conn: number): void {
    this.#connections.get(conn)?.abort();
  }

  wake(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.enter((client) => client.tick()), ms);
  }

  // --- what the application hears ---

  sessionState(state: string, token: string | undefined, freshUntil: number, freshUntilUnix: number): void {
    this.session?.published(JSON.parse(state), token ?? null, freshUntil, freshUntilUnix);
  }

  sessionEvent(event: string): void {
    this.session?.happened(JSON.parse(event));
  }

  refreshed(token: string): void {
    this.session?.refreshed(token);
  }

  reply(call: number, answer: string | undefined): void {
    this.#called(call)?.resolve(answer);
  }

  replyError(call: number, error: string): void {
    this.#called(call)?.reject(errorFrom(error));
  }

  socketState(socket: number, state: string): void {
    this.sockets.get(socket)?.published(JSON.parse(state));
  }

  socketEvent(socket: number, event: string): void {
    this.sockets.get(socket)?.happened(JSON.parse(event));
  }

  deliver(socket: number, data: Message): void {
    this.sockets.get(socket)?.brought(data);
  }

  sendFailed(socket: number, send: number, error: string): void {
    this.sockets.get(socket)?.failed(send, errorFrom(error));
  }

  /** Calls code of the application later: in order, when no call of the client is under way. */
  say(news: () => void): void {
    this.#news.push(news);
    if (this.#entered > 0 || this.#tells || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#tell();
    });
  }

  #tell(): void {
    if (this.#tells) return;
    this.#tells = true;
    for (let at = 0; at < this.#news.length; at += 1) {
      try {
        (this.#news[at] as () => void)();
      } catch (error) {
        report(error);
      }
    }
    this.#news = [];
    this.#tells = false;
  }

  #answer(effect: number, work: (abort: AbortController) => Promise<(client: Client) => void>): void {
    const abort = new AbortController();
    this.#requests.set(effect, abort);
    void work(abort).then((answer) => {
      // Unless it is no longer wanted.
      if (this.#requests.delete(effect)) this.enter(answer);
    });
  }

  #called(call: number): Call | undefined {
    const known = this.#calls.get(call);
    this.#calls.delete(call);
    return known;
  }
}
