// The entry for browsers, workers and bundlers: the WebAssembly file lies beside this one.

import { creator } from './create.js';

export type * from './api.js';
export { FreshsocketError, Session, Socket } from './api.js';

/**
 * Makes a session. The first call loads the WebAssembly file, from beside the package's own files unless the option
 * `wasm` says otherwise.
 *
 * @throws FreshsocketError `invalidOptions`, `insecureUrl`, naming the field
 */
export const createSession = creator(() => new URL('./wasm/freshsocket_bg.wasm', import.meta.url));
