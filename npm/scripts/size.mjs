// Shows what a visitor fetches: the WebAssembly file and the JavaScript of the browser's entry, each file compressed on
// its own, as a server sends it. Not minified, but without comments.

import { readdirSync, readFileSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
const own = readdirSync(dist).filter((name) => name.endsWith('.js') && name !== 'node.js');
const rows = [
  ['wasm', ['wasm/freshsocket_bg.wasm']],
  ['its glue', ['wasm/freshsocket.js']],
  [`package (${own.length} files)`, own],
].map(([name, files]) => [name, ...sum(files.map(measure))]);
const total = ['total', ...sum(rows.map(([, ...sizes]) => sizes))];

for (const row of [['bytes', 'raw', 'gzip -9', 'brotli -11'], ...rows, total]) {
  console.log(row[0].padEnd(20) + row.slice(1).map((cell) => String(cell).padStart(12)).join(''));
}

function measure(name) {
  const bytes = readFileSync(new URL(name, dist));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes, { params }).length];
}

function sum(sizes) {
  return sizes.reduce((all, one) => all.map((size, at) => size + one[at]), [0, 0, 0]);
}
