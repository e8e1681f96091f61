// One WebSocket, from the attempt to its end. Does what it is told and says what it sees.

import type { Client } from './wasm/freshsocket.js';

/** What travels: text, or bytes. */
export type Message = string | Uint8Array<ArrayBuffer>;

/** What is needed of a WebSocket: the browser's own, and that of the npm package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(data: any): void;
  close(code?: number, reason?: string): void;
}

/** Makes one. */
export interface WebSocketConstructor {
  new (url: string, protocols: string[]): WebSocketLike;
}

const OPEN = 1;

/** How long the peer may take to answer our close. */
const CLOSE_MS = 5_000;
/**
 * How long a connection that was replaced stays open. A WebSocket on the web drops what arrives after `close` was called,
 * and the server may have sent something before it hears of the close (W5).
 */
const LINGER_MS = 1_000;
/** How often we look whether everything is written: the web has no event for it. */
const LOOK_MS = 10;

/** Calls the client from an event, and tells the application afterwards what came of it. */
export type Enter = (act: (client: Client) => void) => void;

export class Connection {
  #ws: WebSocketLike | undefined;
  #opened = false;
  #over = false;
  #received = 0;
  #tooLarge = false;
  /** What was to be written when nothing could be written any more: number and data in turn. */
  #unsent: unknown[] = [];
  #timers: ReturnType<typeof setTimeout>[] = [];
  /** Begins the close that lingers. */
  #begin: (() => void) | undefined;

  constructor(
    readonly id: number,
    private readonly enter: Enter,
    private readonly onEnd: () => void,
    private readonly maxBytes: number,
  ) {}

  open(WebSocket: WebSocketConstructor, url: string, protocols: string[], first: string | undefined): void {
    let ws: WebSocketLike;
    try {
      ws = new WebSocket(url, protocols);
      ws.binaryType = 'arraybuffer';
    } catch (error) {
      // The message may quote the URL, and the credential with it.
      const name = error instanceof Error ? error.name : 'an error';
      queueMicrotask(() => this.#end(`the WebSocket could not be made (${name})`));
      return;
    }
    this.#ws = ws;
    ws.onopen = () => {
      this.#opened = true;
      if (first !== undefined) ws.send(first);
      this.enter((client) => client.opened(this.id, ws.protocol));
    };
    ws.onmessage = ({ data }: { data: string | ArrayBuffer }) => {
      this.#received += 1;
      if (isLarger(data, this.maxBytes)) return this.#refuse();
      const message = typeof data === 'string' ? data : new Uint8Array(data);
      this.enter((client) => client.received(this.id, message));
    };
    ws.onerror = () => {};
    ws.onclose = ({ code, reason }: { code: number; reason: string }) => this.#end('the connection broke', code, reason);
  }

  get bufferedAmount(): number {
    return this.#ws?.bufferedAmount ?? 0;
  }

  /** Writes a message; false: nothing can be written (any more). */
  send(data: Message): boolean {
    if (this.#over || this.#ws?.readyState !== OPEN) return false;
    this.#ws.send(data);
    return true;
  }

  /** Keeps what could not be written, for the end. */
  keep(send: number, data: unknown): void {
    this.#unsent.push(send, data);
  }

  /** Flushes and begins the closing handshake. */
  close(code: number, reason: string, linger: boolean): void {
    const ws = this.#ws;
    if (!ws || !this.#opened) return this.abort();
    if (this.#over) return;
    this.#begin = () => {
      this.#begin = undefined;
      closeWith(ws, code, reason);
    };
    if (linger) this.#timers.push(setTimeout(() => this.hurry(), LINGER_MS));
    else this.#begin();
    const flushed = () => {
      if (this.#over) return;
      if (ws.bufferedAmount === 0) this.enter((client) => client.flushed(this.id));
      else this.#timers.push(setTimeout(flushed, LOOK_MS));
    };
    flushed();
    let before = this.#received;
    const late = () => {
      // What the peer still says is worth waiting for (W5).
      if (this.#received === before) return this.#end('the close was not answered in time');
      before = this.#received;
      this.#timers.push(setTimeout(late, CLOSE_MS));
    };
    this.#timers.push(setTimeout(late, CLOSE_MS));
  }

  /** Lingers no longer, if it does. */
  hurry(): void {
    this.#begin?.();
  }

  /** Drops it. The web can only begin to close, so we stop to look. */
  abort(): void {
    this.#end(this.#opened ? 'aborted' : 'given up while connecting', 1006, '', true);
  }

  #refuse(): void {
    this.#tooLarge = true;
    this.#end('');
  }

  #end(detail: string, code = 1006, reason = '', asked = false): void {
    if (this.#over) return;
    this.#over = true;
    this.#timers.forEach(clearTimeout);
    const ws = this.#ws;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      // Not null: the one of `ws` throws an error that nobody listens to.
      ws.onerror = () => {};
      if (ws.readyState <= OPEN) closeWith(ws, 1000, '');
    }
    this.enter((client) => {
      if (this.#tooLarge) client.endedTooLarge(this.id, this.#unsent);
      else if (this.#opened || asked) client.ended(this.id, code, reason, detail, this.#unsent);
      else client.connectFailed(this.id, 'the web does not say why');
    });
    this.onEnd();
  }
}

/** The web takes no other codes from scripts, and no reason longer than 123 bytes. */
function closeWith(ws: WebSocketLike, code: number, reason: string): void {
  try {
    if (code === 1000 || (code >= 3000 && code <= 4999)) ws.close(code, reason);
    else ws.close();
  } catch {
    ws.close();
  }
}

function isLarger(data: string | ArrayBuffer, maxBytes: number): boolean {
  if (typeof data !== 'string') return data.byteLength > maxBytes;
  // A unit of a string takes one to three bytes, so most need not be counted.
  return data.length * 3 > maxBytes && (data.length > maxBytes || byteLength(data) > maxBytes);
}

/** The bytes that a message takes on the wire. */
export function byteLength(data: Message): number {
  return typeof data === 'string' ? new TextEncoder().encode(data).byteLength : data.byteLength;
}
