// What is written twice is the same twice.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { optionTypes } from '../scripts/types.mjs';

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');

test('the types of the options are those of the schema', () => {
  assert.equal(read('../src/options.ts'), optionTypes());
});

test('the kinds of errors are those of docs/errors.md', () => {
  const documented = [...read('../../docs/errors.md').matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]);
  const [, union] = read('../src/error.ts').match(/export type ErrorKind =([^;]+);/);
  const typed = [...union.matchAll(/'(\w+)'/g)].map((match) => match[1]);
  assert.ok(documented.length > 0);
  assert.deepEqual(typed, documented);
});
