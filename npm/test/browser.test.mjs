// The package in Chromium: loaded without a bundler from one origin, against the mock server on another.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { start, within } from './server.mjs';

const program = process.env.FRESHSOCKET_CHROMIUM ?? '/usr/bin/chromium';
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];
const types = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

let server;
let files;
let origin;
let profile;
let browser;
/** What the page's server was asked for. */
const fetched = new Set();

before(async () => {
  assert.ok(existsSync(program), `there is no ${program}`);
  server = await start();
  const root = new URL('..', import.meta.url).pathname;
  files = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://h').pathname);
    fetched.add(path);
    if (path === '/') return response.setHeader('content-type', 'text/html').end('<!doctype html><title>t</title>');
    if (path === '/moved.wasm') {
      response.setHeader('content-type', 'application/wasm');
      return response.end(await readFile(join(root, 'dist/wasm/freshsocket_bg.wasm')));
    }
    try {
      const content = await readFile(join(root, path));
      response.setHeader('content-type', types[path.slice(path.lastIndexOf('.'))] ?? 'text/plain').end(content);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, '127.0.0.1');
  await once(files, 'listening');
  origin = `http://127.0.0.1:${files.address().port}`;
  profile = await mkdtemp(join(tmpdir(), 'freshsocket-chromium-'));
  browser = await chromium.launchPersistentContext(profile, { executablePath: program, args: flags });
});

after(async () => {
  await browser?.close();
  files?.closeAllConnections();
  files?.close();
  await server?.stop();
  if (profile) await rm(profile, { recursive: true, force: true });
});

const inPage = async (given) => (await import('/test/page.mjs')).run(given);
const inWorker = (given) =>
  new Promise((resolve, reject) => {
    const worker = new Worker('/test/worker.mjs', { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(given);
  });

for (const [who, act, wasm] of [
  ['a page', inPage, undefined],
  ['a page that names the wasm file', inPage, '/moved.wasm'],
  ['a worker', inWorker, undefined],
]) {
  test(`${who} signs in, connects, hands over at refreshes and signs out`, async () => {
    await server.control('reset', {});
    await server.control('settings', { accessLifetimeMs: 300_000 });
    const page = await browser.newPage();
    const wrong = [];
    const printed = [];
    page.on('pageerror', (error) => wrong.push(error.message));
    page.on('console', (message) => printed.push(message.text()));
    fetched.clear();
    await page.goto(origin);
    const settings = { accessLifetimeMs: 2_000 };
    const given = { http: server.http, ws: server.ws, wasm, settings };
    const saw = await within(`${who}, which printed: ${printed}`, () => page.evaluate(act, given));
    assert.equal(saw.error, undefined);
    assert.equal(saw.user, 'ada');
    assert.equal(saw.text, 'hello');
    assert.deepEqual(saw.bytes, [0, 128, 255]);
    assert.deepEqual(saw.numbers, Array.from({ length: 1_500 }, (_, at) => at + 1));
    assert.ok(saw.handovers >= 2);
    assert.deepEqual(saw.statesDuringHandovers, []);
    assert.equal(saw.state, 'waitingForSession');
    assert.deepEqual(saw.signedOut, { state: 'signedOut', cause: 'loggedOut' });
    assert.equal(saw.token, saw.tokens[0]);
    assert.equal(new Set(saw.tokens).size, saw.tokens.length);

    await server.fell('wsOpenNow', 0);
    const counters = await server.counters();
    assert.equal(counters.wsExpired, 0);
    assert.equal(counters.refreshesRefused, 0);
    assert.equal(counters.refreshesOk, saw.tokens.length - 1);
    assert.deepEqual([...fetched].filter((path) => path.endsWith('.wasm')), [wasm ?? '/dist/wasm/freshsocket_bg.wasm']);
    assert.deepEqual(wrong, []);
    for (const token of saw.tokens) assert.ok(!printed.join('\n').includes(token), printed.join('\n'));
    await page.close();
  });
}
