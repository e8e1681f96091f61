// The entry for Node, which cannot fetch files.

import { readFile } from 'node:fs/promises';

import { creator } from './create.js';

export type * from './api.js';
export { FreshsocketError, Session, Socket } from './api.js';

/** See `createSession` in web.ts. */
export const createSession = creator(() => readFile(new URL('./wasm/freshsocket_bg.wasm', import.meta.url)));
