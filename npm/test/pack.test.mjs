// The package as it would be published, installed in an application of its own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const root = new URL('..', import.meta.url).pathname;

test('the packed package loads in an application, and type-checks there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'freshsocket-packed-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const run = (program, args, cwd) => execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const [{ filename, files }] = Object.values(
    JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root)),
  );
  const paths = files.map(({ path }) => path);
  assert.ok(paths.includes('dist/wasm/freshsocket_bg.wasm'), paths.join());
  assert.deepEqual(paths.filter((path) => !/^(dist\/|package\.json$|README\.md$)/.test(path)), []);

  const home = join(folder, 'node_modules/freshsocket');
  await mkdir(home, { recursive: true });
  run('tar', ['-xzf', join(folder, filename), '--strip-components=1', '-C', home], folder);
  const code = `
    import { createSession, type Session } from 'freshsocket';
    class WebSocket {}
    const session: Session = await createSession({ baseUrl: 'http://127.0.0.1:1', WebSocket, refresh: { marginMs: 1 } });
    // @ts-expect-error: there is no such preset
    await createSession({ preset: 'none' }).catch((error) => console.log(error.kind));
    console.log(session.state.state, await session.ensureValidToken());
    await session.close();
  `;
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  await writeFile(join(folder, 'app.ts'), code);
  const lib = ['--lib', 'es2022,esnext.disposable,dom,dom.iterable', '--target', 'es2022', '--module', 'nodenext'];
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--strict', '--types', '', ...lib, 'app.ts'], folder);
  assert.equal(run(process.execPath, ['app.js'], folder), 'invalidOptions\nsignedOut null\n');
});
