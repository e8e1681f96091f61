// The same in a worker, which has no window.

import { run } from './page.mjs';

onmessage = async ({ data }) => postMessage(await run(data).catch((error) => ({ error: String(error) })));
