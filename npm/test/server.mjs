// The mock server as a program, and what a test asks of it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Starts a server; `cargo xtask web` says where the program is. */
export async function start(settings = {}) {
  const program = process.env.FRESHSOCKET_MOCK_SERVER;
  if (!program) throw new Error('FRESHSOCKET_MOCK_SERVER is not set: run `cargo xtask web`');
  const child = spawn(program, ['--settings', JSON.stringify(settings)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const http = line.replace('listening on ', '');
  const control = async (command, body) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(`${http}/__control/${command}`, init);
    if (!response.ok) throw new Error(`${command}: ${await response.text()}`);
    return response.json();
  };
  return {
    http,
    ws: `${http.replace('http', 'ws')}/ws`,
    control,
    counters: () => control('counters'),
    /** Waits until a counter has reached a value. */
    async reached(counter, atLeast) {
      const { ok, counters } = await control('wait', { counter, atLeast, timeoutMs: 20_000 });
      if (!ok) throw new Error(`${counter} did not reach ${atLeast}: ${JSON.stringify(counters)}`);
      return counters;
    },
    /** Waits until a counter has fallen to a value. */
    async fell(counter, atMost) {
      const { ok, counters } = await control('wait', { counter, atMost, timeoutMs: 20_000 });
      if (!ok) throw new Error(`${counter} did not fall to ${atMost}: ${JSON.stringify(counters)}`);
      return counters;
    },
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Waits until a session or socket has a state of this name. */
export async function has(one, name) {
  return within(`the state ${name}`, async () => {
    for await (const state of one.states()) if (state.state === name) return state;
    throw new Error(`ended before ${name}`);
  });
}

/** The next `count` messages. */
export async function read(socket, count) {
  const iterator = socket[Symbol.asyncIterator]();
  return within(`${count} messages`, async () => {
    const messages = [];
    while (messages.length < count) {
      const { value, done } = await iterator.next();
      if (done) throw new Error(`ended after ${messages.length}`);
      messages.push(value);
    }
    return messages;
  });
}

/** The next value of an event for which `wanted` is true. */
export function next(one, name, wanted = () => true) {
  return within(name, () => new Promise((resolve) => {
    const off = one.on(name, (value) => {
      if (!wanted(value)) return;
      off();
      resolve(value);
    });
  }));
}

/** `work`, or an error when it takes too long. */
export async function within(what, work, ms = 30_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
