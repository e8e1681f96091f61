// The signals of a page that the device may have been away (S7). All of them lead to one handler, in the machine.

import type { Host } from './host.js';

/** Passes the signals on, where there are any, until the function that is returned is called. */
export function watchDevice(host: Host): () => void {
  const scope = globalThis as {
    addEventListener?: EventTarget['addEventListener'];
    navigator?: { onLine?: boolean };
    document?: Document;
  };
  if (typeof scope.addEventListener !== 'function') return () => {};
  const until = new AbortController();
  const listen = (target: unknown, names: string[], act: () => void) => {
    for (const name of names) (target as EventTarget).addEventListener(name, act, { signal: until.signal });
  };
  const woke = () => host.enter((client) => client.woke());
  listen(scope, ['online'], () => host.enter((client) => client.network(true)));
  listen(scope, ['offline'], () => host.enter((client) => client.network(false)));
  listen(scope, ['pageshow', 'focus'], woke);
  const { document } = scope;
  if (document) {
    listen(document, ['visibilitychange'], () => document.visibilityState === 'visible' && woke());
    listen(document, ['resume'], woke);
  }
  if (scope.navigator?.onLine === false) host.enter((client) => client.network(false));
  return () => until.abort();
}
