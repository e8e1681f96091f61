// The package in Node, against the mock server, on real sockets. Node 20 has no WebSocket: that of `ws` is given.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import { WebSocket } from 'ws';

import { createSession } from 'freshsocket';
import { has, next, read, start, within } from './server.mjs';

let server;
before(async () => (server = await start()));
after(() => server.stop());
const defaults = await (async () => {
  const fresh = await start();
  const settings = await fresh.control('settings');
  await fresh.stop();
  return settings;
})();
beforeEach(async () => {
  await server.control('settings', defaults);
  await server.control('reset', {});
});

const quick = { delay: { baseMs: 50, capMs: 200 } };
const make = (options = {}) => createSession({ baseUrl: server.http, WebSocket, ...options });
const ada = { username: 'ada', password: 'secret' };

/** A session with somebody signed in, closed at the end of the test. */
async function signedIn(t, options) {
  const session = await make(options);
  t.after(() => session.close());
  await session.login(ada);
  return session;
}

/** Lets the wall clock be ahead by so much until the end of the test, as after a sleep. */
function sleepThrough(t, ms) {
  const { now } = Date;
  Date.now = () => now() + ms;
  t.after(() => (Date.now = now));
}

test('s1: a login gives the user and a token', async (t) => {
  const session = await make();
  t.after(() => session.close());
  assert.deepEqual(session.state, { state: 'signedOut', cause: 'notSignedIn' });
  assert.equal(await session.ensureValidToken(), null);
  assert.equal(session.isTokenExpiringSoon(), true);

  const user = await session.login(ada);
  assert.equal(user.username, 'ada');
  assert.deepEqual(session.user, user);
  assert.equal(session.state.state, 'active');
  assert.equal((await session.ensureValidToken()).split('.').length, 3);
  assert.equal(session.isTokenExpiringSoon(60_000), false);
  assert.equal(session.isTokenExpiringSoon(600_000), true);
  assert.equal(await session.verify(), true);
});

test('s1: a refused login says so', async (t) => {
  const session = await make();
  t.after(() => session.close());
  const refused = { name: 'FreshsocketError', kind: 'loginRefused', status: 401 };
  await assert.rejects(session.login({ username: 'ada', password: 'wrong' }), refused);
  assert.equal(session.state.state, 'signedOut');
});

test('s2: a server that cannot be reached is not a sign-out', async (t) => {
  const session = await signedIn(t);
  await server.control('faults', { target: 'refresh', fault: { kind: 'unavailable' } });
  t.after(() => server.control('reset', {}));
  sleepThrough(t, 600_000);
  assert.equal(await session.ensureValidToken(), null);
  assert.equal(session.state.state, 'unreachable');
  assert.ok(session.state.nextAttempt > 0);
});

test('s3: a hundred callers at expiry make one refresh', async (t) => {
  const session = await signedIn(t);
  const old = await session.ensureValidToken();
  sleepThrough(t, 290_000);
  const tokens = await Promise.all(Array.from({ length: 100 }, () => session.ensureValidToken()));
  assert.equal(new Set(tokens).size, 1);
  assert.notEqual(tokens[0], old);
  assert.equal((await server.counters()).refreshes, 1);
});

test('s4 s6: the timer refreshes, rotates, and tells each new token once', async (t) => {
  await server.control('settings', { accessLifetimeMs: 2_000 });
  const session = await signedIn(t);
  const seen = [];
  const three = within('three tokens', () => new Promise((resolve) => {
    const off = session.onTokenRefresh((token) => {
      seen.push(token);
      if (seen.length < 3) return;
      off();
      resolve();
    });
  }));
  await three;
  assert.equal(new Set(seen).size, 3);
  const { refreshesOk, refreshesRefused } = await server.counters();
  assert.ok(refreshesOk >= 3);
  assert.equal(refreshesRefused, 0);
});

test('s4: a callback that throws stops nobody', async (t) => {
  const session = await signedIn(t);
  const reported = [];
  t.mock.method(console, 'error', (error) => reported.push(error.message));
  session.onTokenRefresh(() => { throw new Error('mine'); });
  let heard;
  session.onTokenRefresh((token) => (heard = token));
  sleepThrough(t, 290_000);
  const token = await session.ensureValidToken();
  assert.equal(heard, token);
  assert.deepEqual(reported, ['mine']);
});

test('s6: no timer is longer than the platform can count', async (t) => {
  const delays = [];
  const original = globalThis.setTimeout;
  globalThis.setTimeout = (act, ms, ...rest) => (delays.push(ms), original(act, ms, ...rest));
  t.after(() => (globalThis.setTimeout = original));
  const session = await make({ requestTimeoutMs: 2 ** 33 });
  t.after(() => session.close());
  await session.login(ada);
  await session.adopt({ access: 'opaque', refresh: 'r', expiresInMs: 60 * 86_400_000 });
  assert.equal(await session.ensureValidToken(), 'opaque');
  assert.ok(delays.length > 0);
  assert.deepEqual(delays.filter((ms) => !(ms < 2 ** 31)), []);
  assert.equal((await server.counters()).refreshes, 0);
});

test('s1: a token callback supplies tokens', async (t) => {
  const { token } = await server.control('issue_token', { user: 'ada', lifetimeMs: 60_000 });
  let answer = async () => ({ token });
  const session = await createSession({ preset: 'callback', WebSocket, token: (request) => answer(request) });
  t.after(() => session.close());
  assert.equal(await session.ensureValidToken(), token);
  answer = async () => { throw new Error('the login service is down'); };
  sleepThrough(t, 120_000);
  assert.equal(await session.ensureValidToken(), null);
  assert.equal(session.state.state, 'unreachable');
  assert.equal(session.state.cause.kind, 'callbackFailed');
});

test('w1 p1: text, bytes and JSON come back', async (t) => {
  const session = await signedIn(t);
  const socket = session.socket(server.ws);
  const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
  socket.send('hé');
  socket.send(bytes);
  socket.send(bytes.buffer.slice(3, 5));
  const sending = socket.sendJson({ a: [1] });
  await sending.sent();
  assert.equal(sending.status, 'sent');
  assert.deepEqual(await read(socket, 4), ['hé', bytes, Uint8Array.of(3, 4), '{"a":[1]}']);
  assert.equal(socket.isConnected, true);
  socket.send('direct');
  assert.deepEqual(await read(socket, 1), ['direct']);
});

test('w1: messages reach listeners, and disconnect ends the stream', async (t) => {
  const session = await signedIn(t);
  const socket = session.socket(server.ws, { autoConnect: false });
  assert.equal(socket.state.state, 'idle');
  socket.connect();
  const heard = next(socket, 'message');
  socket.send('hello');
  assert.equal(await heard, 'hello');
  socket.disconnect(4000, 'done');
  assert.deepEqual(socket.state, { state: 'closed', by: 'application', code: 4000, reason: 'done' });
  for await (const message of socket) assert.fail(`a message after the end: ${message}`);
  await server.reached('wsClosed', 1);
  const closed = (await server.control('records')).find((record) => record.kind === 'ws_closed');
  assert.equal(closed.closeCode, 4000);
});

test('w6 w10: after a cut it connects again, and what was sent meanwhile arrives', async (t) => {
  const session = await signedIn(t);
  const socket = session.socket(server.ws, { reconnect: quick });
  await has(socket, 'open');
  const ended = next(socket, 'event', (event) => event.event === 'ended');
  await server.control('cut', {});
  const { ended: how, willRetry } = await ended;
  assert.equal(how.how, 'lost');
  assert.equal(willRetry, true);
  const sending = socket.send('while away');
  assert.equal(sending.status, 'queued');
  assert.deepEqual(await read(socket, 1), ['while away']);
  assert.equal(sending.status, 'sent');
});

test('w5: handovers lose, double and reorder no numbered broadcast', async (t) => {
  await server.control('settings', { accessLifetimeMs: 2_000 });
  const session = await signedIn(t);
  const socket = session.socket(server.ws);
  const states = [];
  await has(socket, 'open');
  socket.on('state', ({ state }) => states.push(state));
  let handovers = 0;
  socket.on('event', (event) => (handovers += event.event === 'opened' && event.handover ? 1 : 0));
  // Its answer says that the server counts this connection among those of the user.
  socket.send('there?');
  await read(socket, 1);
  const count = 3_000;
  await server.control('flood', { user: 'ada', count, size: 32, perSecond: 500 });
  const numbers = [];
  while (numbers.at(-1) !== count) numbers.push(JSON.parse(await read(socket, 1)).n);
  assert.deepEqual(numbers, Array.from({ length: count }, (_, at) => at + 1));
  assert.ok(handovers >= 2, `${handovers} handovers`);
  assert.deepEqual(states, []);
  assert.equal((await server.counters()).wsExpired, 0);
});

test('w7: a code that means stop ends the stream with an error', async (t) => {
  const session = await signedIn(t);
  const socket = session.socket(server.ws);
  await has(socket, 'open');
  await server.control('close', { code: 4403, reason: 'banned' });
  await assert.rejects(read(socket, 1), { kind: 'closed' });
  assert.deepEqual(socket.state, { state: 'closed', by: 'server', code: 4403, reason: 'banned' });
});

test('w8: a close for the token refreshes it, and the next connection carries the new one', async (t) => {
  const session = await signedIn(t);
  const socket = session.socket(server.ws);
  await has(socket, 'open');
  await server.control('close', { code: 4401 });
  await server.reached('wsOpened', 2);
  const opened = (await server.control('records')).filter((record) => record.kind === 'ws_open');
  const [first, second] = opened.map((record) => record.tokenSeq);
  assert.equal(second, first + 1);
  assert.equal((await server.counters()).refreshes, 1);
});

test('w9: a heartbeat of the application notices a dead connection', async (t) => {
  const session = await signedIn(t);
  const heartbeat = { intervalMs: 100, timeoutMs: 300, message: { type: 'ping' } };
  const socket = session.socket(server.ws, { reconnect: quick, heartbeat });
  await has(socket, 'open');
  const ended = next(socket, 'event', (event) => event.event === 'ended');
  await server.control('half_open', {});
  assert.deepEqual((await ended).ended, { how: 'silent' });
  await has(socket, 'open');
});

test('w11: a message that is too large is refused both ways', async (t) => {
  const session = await signedIn(t);
  const socket = session.socket(server.ws, { limits: { maxMessageBytes: 10 }, reconnect: quick });
  assert.throws(() => socket.send('12345678901'), { kind: 'messageTooLarge' });
  assert.throws(() => socket.send('éééééé'), { kind: 'messageTooLarge' });
  await has(socket, 'open');
  const ended = next(socket, 'event', (event) => event.event === 'ended');
  await server.control('send', { text: '12345678901' });
  assert.equal((await ended).ended.code, 1009);
});

test('s11: a sign-out closes the sockets and fails what they queued', async (t) => {
  const session = await signedIn(t);
  const [open, waiting] = [session.socket(server.ws), session.socket(`${server.ws}/none-such-path`, { reconnect: quick })];
  await has(open, 'open');
  await server.control('settings', { accept: [] });
  await server.control('cut', {});
  await next(open, 'state', ({ state }) => state !== 'open');
  const sending = open.send('never');
  assert.equal(await session.logout(), true);
  await assert.rejects(sending.sent(), { name: 'FreshsocketError' });
  assert.deepEqual(session.state, { state: 'signedOut', cause: 'loggedOut' });
  assert.equal(await session.ensureValidToken(), null);
  assert.equal(open.isConnected || waiting.isConnected, false);
  await server.fell('wsOpenNow', 0);
});

test('w14: what is disposed is closed, and says so', async () => {
  const session = await make();
  await session.login(ada);
  const socket = session.socket(server.ws);
  await has(socket, 'open');
  await socket[Symbol.asyncDispose]();
  assert.throws(() => socket.send('x'), { kind: 'closed' });
  const other = session.socket(server.ws);
  await has(other, 'open');
  await session[Symbol.asyncDispose]();
  await server.fell('wsOpenNow', 0);
  assert.throws(() => other.send('x'), { kind: 'closed' });
  await assert.rejects(session.ensureValidToken(), { kind: 'disposed' });
  await assert.rejects(session.login(ada), { kind: 'disposed' });
});

test('what is wrong with options is named', async (t) => {
  const wrong = (options, field, kind = 'invalidOptions') =>
    assert.rejects(createSession({ WebSocket, ...options }), (error) => {
      assert.equal(error.kind, kind);
      assert.equal(error.field, field);
      return true;
    });
  await wrong({}, 'session.baseUrl');
  await wrong({ baseUrl: 'http://example.com' }, 'session.baseUrl', 'insecureUrl');
  await wrong({ baseUrl: server.http, preset: 'cookie' }, 'session.preset');
  await wrong({ preset: 'callback' }, 'session.preset');
  await wrong({ baseUrl: server.http, nonsense: 1 }, undefined);
  const session = await signedIn(t);
  for (const placement of ['header', 'cookie']) {
    const open = () => session.socket(server.ws, { credential: { placement } });
    assert.throws(open, { kind: 'invalidOptions', field: 'socket.credential' });
  }
  assert.throws(() => session.socket('http://h/ws'), { kind: 'invalidOptions', field: 'socket.url' });
  const bare = await createSession({ baseUrl: server.http, WebSocket: null });
  t.after(() => bare.close());
  if (!globalThis.WebSocket) assert.throws(() => bare.socket(server.ws), { kind: 'unsupported' });
});

test('section 6: no token in anything that is printed', async () => {
  const script = new URL('./planted.mjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, server.http], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  let secrets;
  child.on('message', (message) => (secrets = message));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, output);
  assert.ok(output.includes('unreachable') && output.includes('loginRefused') && output.includes('signedOut'), output);
  assert.ok(secrets.length >= 6);
  for (const secret of secrets) assert.ok(!output.includes(secret), `printed: ${secret}`);
});
