// Prints everything there is to print about a session in trouble; tells its parent which secrets were in play.

import { inspect } from 'node:util';
import { WebSocket } from 'ws';

import { createSession } from 'freshsocket';
import { has, next } from './server.mjs';

const http = process.argv[2];
const ws = `${http.replace('http', 'ws')}/ws`;
const secrets = ['planted-pin', 'planted-access', 'planted-refresh'];
const say = (...what) => console.log(...what.map((one) => inspect(one, { depth: 9, showHidden: true, getters: false })));
const control = (command, body) =>
  fetch(`${http}/__control/${command}`, { method: 'POST', body: JSON.stringify(body) });
const fault = (target, fault) => control('faults', { target, fault, times: 1 });

const session = await createSession({ baseUrl: http, WebSocket });
session.on('state', say);
session.on('event', say);
session.onTokenRefresh((token) => secrets.push(token, token.split('.').at(-1)));
await session.login({ username: 'ada', password: 'wrong', pin: 'planted-pin' }).catch(say);
await session.login({ username: 'ada', password: 'secret' });
secrets.push(await session.ensureValidToken());
say(session);

const placements = [{ placement: 'subprotocol' }, { placement: 'query' }, { placement: 'firstMessage' }];
for (const credential of placements) {
  await control('settings', { authMode: credential.placement === 'firstMessage' ? 'firstMessage' : 'handshake' });
  const socket = session.socket(ws, { credential, reconnect: { delay: { baseMs: 50 } } });
  socket.on('state', say);
  socket.on('event', say);
  await has(socket, 'open');
  await fault('ws', { kind: 'refuseUpgrade', status: 503 });
  const again = next(socket, 'state', ({ state }) => state === 'backoff');
  await control('cut', {});
  say(await again, socket);
  await socket[Symbol.asyncDispose]();
}

await fault('refresh', { kind: 'unavailable' });
const { now } = Date;
Date.now = () => now() + 600_000;
say(await session.ensureValidToken(), session.state);
await session.adopt({ access: 'planted-access', refresh: 'planted-refresh', expiresInMs: 60_000 });
say(session);
await session.verify().then(say, say);
await session.logout().then(say, say);
say(session);
await session.close();
process.send(secrets, () => process.disconnect());
