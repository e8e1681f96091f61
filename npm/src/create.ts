import init from './wasm/freshsocket.js';
import { Session, type SessionOptions, type WasmSource } from './session.js';

let loaded: Promise<unknown> | undefined;

/** `createSession` with this way to find the WebAssembly file, where the application names none. */
export function creator(find: () => WasmSource | Promise<WasmSource>) {
  return async (options: SessionOptions): Promise<Session> => {
    loaded ??= load(options.wasm, find);
    try {
      await loaded;
    } catch (error) {
      // The next one tries again.
      loaded = undefined;
      throw error;
    }
    return new Session(options);
  };
}

async function load(given: WasmSource | undefined, find: () => WasmSource | Promise<WasmSource>): Promise<void> {
  // A URL is fetched and compiled while it arrives.
  await init({ module_or_path: given ?? (await find()) });
}
