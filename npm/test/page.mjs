// What runs in the page of browser.test.mjs: the package as an application uses it. Gives what it saw.

import { createSession } from '/dist/web.js';

export async function run({ http, ws, wasm, settings }) {
  const control = (command, body) =>
    fetch(`${http}/__control/${command}`, { method: 'POST', body: JSON.stringify(body) }).then((answer) => answer.json());
  const saw = { states: [], handovers: 0, tokens: [] };

  const session = await createSession({ baseUrl: http, wasm });
  session.onTokenRefresh((token) => saw.tokens.push(token));
  saw.user = (await session.login({ username: 'ada', password: 'secret' })).username;
  saw.token = await session.ensureValidToken();

  const socket = session.socket(ws);
  const messages = socket[Symbol.asyncIterator]();
  const read = async () => (await messages.next()).value;
  socket.send('hello');
  saw.text = await read();
  socket.send(Uint8Array.of(0, 128, 255));
  saw.bytes = [...(await read())];

  socket.on('state', ({ state }) => saw.states.push(state));
  const handed = new Promise((resolve) => {
    socket.on('event', (event) => {
      if (event.event === 'opened' && event.handover && (saw.handovers += 1) === 2) resolve();
    });
  });
  // From here on tokens live for two seconds: the next refresh is asked for, those after it come by the timer.
  await control('settings', settings);
  const again = new Promise((resolve) => {
    const off = socket.on('state', ({ state }) => state === 'open' && (off(), resolve()));
  });
  await control('close', { code: 4401 });
  await again;
  // Its answer says that the server counts this connection among those of the user.
  socket.send('there?');
  await read();
  saw.states.length = 0;
  const count = 1_500;
  await control('flood', { user: 'ada', count, perSecond: 500 });
  saw.numbers = [];
  while (saw.numbers.at(-1) !== count) saw.numbers.push(JSON.parse(await read()).n);
  await handed;
  saw.statesDuringHandovers = [...saw.states];

  await session.logout();
  saw.state = socket.state.state;
  saw.signedOut = session.state;
  await session.close();
  return saw;
}
