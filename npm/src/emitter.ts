// Listeners, and values that wait to be read.

/** Reports what a listener of the application threw: it stops nobody else. */
export function report(error: unknown): void {
  const scope = globalThis as { reportError?: (error: unknown) => void };
  if (typeof scope.reportError === 'function') scope.reportError(error);
  else console.error(error);
}

/** Listeners of one kind of value, called in the order in which they came. */
export class Listeners<T> {
  #all = new Set<(value: T) => void>();

  get any(): boolean {
    return this.#all.size > 0;
  }

  /** Adds a listener; the function that is returned removes it. */
  add(listener: (value: T) => void): () => void {
    const own = (value: T) => listener(value);
    this.#all.add(own);
    return () => void this.#all.delete(own);
  }

  call(value: T): void {
    for (const listener of [...this.#all]) {
      if (!this.#all.has(listener)) continue;
      try {
        listener(value);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** Values that wait for `for await`, oldest first, within a bound. */
export class Queue<T> implements AsyncIterableIterator<T> {
  #values: T[] = [];
  #size = 0;
  #readers: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  #over = false;
  #error: unknown;

  constructor(
    private readonly bound: number,
    private readonly sizeOf: (value: T) => number,
    private readonly onReturn: () => void = () => {},
  ) {}

  /** Adds a value; gives how many of the oldest were dropped for it. */
  push(value: T): number {
    const reader = this.#readers.shift();
    if (reader) {
      reader.resolve({ value, done: false });
      return 0;
    }
    this.#values.push(value);
    this.#size += this.sizeOf(value);
    let dropped = 0;
    while (this.#size > this.bound && this.#values.length > 1) {
      this.#size -= this.sizeOf(this.#values.shift() as T);
      dropped += 1;
    }
    return dropped;
  }

  /** No more values come; readers get what is left, then the error once (if there is one), then the end. */
  end(error?: unknown): void {
    this.#over = true;
    this.#error = error;
    for (const reader of this.#readers.splice(0)) {
      if (this.#error === undefined) reader.resolve({ value: undefined, done: true });
      else reader.reject(this.#error);
      this.#error = undefined;
    }
  }

  /** Values may come again. */
  reopen(): void {
    this.#over = false;
    this.#error = undefined;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#values.length > 0) {
      const value = this.#values.shift() as T;
      this.#size -= this.sizeOf(value);
      return Promise.resolve({ value, done: false });
    }
    if (!this.#over) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
  }

  return(): Promise<IteratorResult<T>> {
    this.onReturn();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** How many states wait for somebody who does not read them. */
const STATES = 64;

/** Listeners to states, some of whom read them by `for await`. */
export class States<T> extends Listeners<T> {
  #queues = new Set<Queue<T>>();
  #over = false;

  override call(value: T): void {
    for (const queue of this.#queues) queue.push(value);
    super.call(value);
  }

  /** The state now, then each that follows. */
  read(now: T): AsyncIterableIterator<T> {
    const queue: Queue<T> = new Queue(STATES, () => 1, () => void this.#queues.delete(queue));
    queue.push(now);
    if (this.#over) queue.end();
    else this.#queues.add(queue);
    return queue;
  }

  /** No more states come. */
  end(): void {
    this.#over = true;
    for (const queue of this.#queues) queue.end();
    this.#queues.clear();
  }
}
