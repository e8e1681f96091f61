import { byteLength, type Connection, type Message } from './connection.js';
import { Listeners, Queue, States } from './emitter.js';
import { FreshsocketError, errorFrom } from './error.js';
import type { Host, SocketSide } from './host.js';
import type { LimitOptions } from './options.js';
import type { SocketEvent, SocketState } from './states.js';

/** What a socket's `on` listens to. */
export interface SocketEvents {
  /** A message of the server's. */
  message: Message;
  /** The state changed. */
  state: SocketState;
  /** Something happened that is no state: an attempt, an end, a refusal. */
  event: SocketEvent;
}

/** What became of one message. */
export interface Sending {
  /** The message's number on its socket, as in the event `sendFailed`. */
  readonly number: number;
  /** Where it stands now. `sent`: handed to the platform on an open connection. */
  readonly status: 'queued' | 'sent' | 'failed';
  /** Resolves when it is sent; rejects with why it will not be. */
  sent(): Promise<void>;
}

class Pending implements Sending {
  status: Sending['status'] = 'queued';
  error: FreshsocketError | undefined;
  #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];

  constructor(readonly number: number) {}

  // Made when asked for, so that a failure nobody asks about is no unhandled rejection.
  sent(): Promise<void> {
    if (this.status === 'sent') return Promise.resolve();
    if (this.error) return Promise.reject(this.error);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  settle(error?: FreshsocketError): void {
    this.status = error ? 'failed' : 'sent';
    this.error = error;
    for (const { resolve, reject } of this.#waiting.splice(0)) error ? reject(error) : resolve();
  }
}

/** How many bytes an unread message counts, beside its own. */
const OVERHEAD = 64;

/**
 * A socket that stays connected for as long as somebody is signed in and the application wants it. It outlives its
 * connections; the application sees no reconnects in its messages.
 *
 * Messages go to the `message` listeners. While there are none, and for `for await`, they wait here, up to
 * `limits.receiveBytes`; beyond that the oldest are dropped, and the event `unread` says how many. (The web cannot slow
 * a server down.)
 */
export class Socket implements AsyncIterable<Message>, SocketSide {
  #host: Host;
  #id: number;
  #gone: () => void;
  #limits: Required<LimitOptions>;
  #state: SocketState = { state: 'idle' };
  #direct: Connection | undefined;
  #lastSend = 0;
  #pending = new Map<number, Pending>();
  #messages = new Listeners<Message>();
  #states = new States<SocketState>();
  #events = new Listeners<SocketEvent>();
  #inbox: Queue<Message>;
  #iterated = false;
  #dropped: Promise<void> | undefined;

  /** @internal */
  constructor(host: Host, id: number, options: string, limits: LimitOptions, gone: () => void) {
    this.#host = host;
    this.#gone = gone;
    this.#id = id;
    this.#limits = { maxMessageBytes: 4 << 20, receiveMessages: 256, receiveBytes: 8 << 20, ...limits };
    this.#inbox = new Queue(this.#limits.receiveBytes, (message) => message.length + OVERHEAD);
    host.sockets.set(id, this);
    try {
      host.client.openSocket(id, options);
    } catch (error) {
      host.sockets.delete(id);
      throw typeof error === 'string' ? errorFrom(error) : error;
    }
  }

  /** The state now. */
  get state(): SocketState {
    return this.#state;
  }

  /** Whether messages can go out now. */
  get isConnected(): boolean {
    return this.#state.state === 'open';
  }

  /** Bytes that were sent and that the platform has not written yet. */
  get bufferedAmount(): number {
    return this.#direct?.bufferedAmount ?? 0;
  }

  /** Connects, now or after the next sign-in. Needless after making the socket, unless `autoConnect` is off. */
  connect(): void {
    this.#client().connect(this.#id);
  }

  /**
   * Closes, and stays closed until `connect`. Queued messages fail with kind `closed`. Of the codes other than 1000 and
   * 3000 to 4999, which the web takes from no script, the server sees none.
   */
  disconnect(code = 1000, reason = ''): void {
    if (!this.#host.isOver && !this.#dropped) this.#host.client.disconnect(this.#id, code, reason);
  }

  /**
   * Sends a text or bytes: at once where there is a connection, else from the outbox once there is one.
   *
   * @throws FreshsocketError `messageTooLarge`, `outboxFull`, `notConnected`, `closed`, `disposed`: it was not taken
   */
  send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): Sending {
    const client = this.#client();
    const message = messageOf(data);
    if (message.length * 3 > this.#limits.maxMessageBytes && byteLength(message) > this.#limits.maxMessageBytes) {
      throw new FreshsocketError({
        kind: 'messageTooLarge',
        message: 'the message is larger than limits.maxMessageBytes',
      });
    }
    const sending = new Pending((this.#lastSend += 1));
    if (this.#direct?.send(message)) {
      sending.settle();
      return sending;
    }
    this.#pending.set(sending.number, sending);
    client.send(this.#id, sending.number, message);
    if (sending.error) throw sending.error;
    return sending;
  }

  /** Sends a value as JSON; see `send`. */
  sendJson(value: unknown): Sending {
    return this.send(JSON.stringify(value));
  }

  /** Calls `listener` for each; the function that is returned ends that. A listener that throws is reported. */
  on<K extends keyof SocketEvents>(name: K, listener: (value: SocketEvents[K]) => void): () => void {
    const all = { message: this.#messages, state: this.#states, event: this.#events };
    return (all[name] as Listeners<unknown>).add(listener as (value: unknown) => void);
  }

  /** The state now, then each that follows; of those that nobody read in time the last 64. */
  states(): AsyncIterableIterator<SocketState> {
    return this.#states.read(this.#state);
  }

  /**
   * The messages. Ends when the application disconnects, and with an error (`closed`, `refused`, `attemptsExhausted`)
   * when the socket ended for good otherwise.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    this.#iterated = true;
    return this.#inbox;
  }

  /**
   * Disconnects and lets go of the socket: it cannot be used again. Does not wait for the server, which `close` of the
   * session does.
   */
  [Symbol.asyncDispose](): Promise<void> {
    this.#dropped ??= this.#drop();
    return this.#dropped;
  }

  // --- what the host tells ---

  /** @internal */
  direct(connection: Connection | undefined): void {
    this.#direct = connection;
  }

  /** @internal */
  published(state: SocketState): void {
    this.#state = state;
    this.#host.say(() => {
      if (state.state === 'closed' || state.state === 'refused') this.#inbox.end(endOf(state));
      else this.#inbox.reopen();
      this.#states.call(state);
    });
  }

  /** @internal */
  happened(event: SocketEvent): void {
    this.#host.say(() => this.#events.call(event));
  }

  /** @internal */
  brought(message: Message): void {
    this.#host.say(() => {
      const heard = this.#messages.any;
      this.#messages.call(message);
      if (heard && !this.#iterated) return;
      const count = this.#inbox.push(message);
      if (count > 0) this.#events.call({ event: 'unread', count });
    });
  }

  /** @internal */
  sent(send: number): void {
    this.#settle(send);
  }

  /** @internal */
  failed(send: number, error: FreshsocketError): void {
    this.#settle(send, error);
  }

  #settle(send: number, error?: FreshsocketError): void {
    const pending = this.#pending.get(send);
    this.#pending.delete(send);
    pending?.settle(error);
  }

  #client() {
    if (this.#dropped) throw new FreshsocketError({ kind: 'closed', message: 'the socket was let go of' });
    return this.#host.client;
  }

  async #drop(): Promise<void> {
    if (this.#host.isOver) return;
    this.#direct = undefined;
    this.#host.client.dropSocket(this.#id);
    this.#host.sockets.delete(this.#id);
    for (const send of [...this.#pending.keys()]) {
      this.#settle(send, new FreshsocketError({ kind: 'closed', message: 'the socket was let go of' }));
    }
    this.#gone();
    this.#host.say(() => this.#states.end());
  }
}

function endOf(state: SocketState): FreshsocketError | undefined {
  if (state.state === 'refused') {
    const message = 'the server refused the credential, and a new one as well';
    return new FreshsocketError({ kind: 'refused', message });
  }
  if (state.state !== 'closed' || state.by === 'application') return undefined;
  if (state.by === 'attemptsExhausted') {
    return new FreshsocketError({ kind: 'attemptsExhausted', message: 'all allowed attempts to connect failed' });
  }
  const message = `the server ended the socket for good: close code ${state.code}`;
  return new FreshsocketError({ kind: 'closed', message });
}

function messageOf(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): Message {
  if (typeof data === 'string' || data instanceof Uint8Array) return data as Message;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
