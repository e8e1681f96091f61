// Writes src/options.ts, the types of the options, from docs/options.schema.json: the one place that describes them.

import { readFileSync, writeFileSync } from 'node:fs';

const schema = JSON.parse(readFileSync(new URL('../../docs/options.schema.json', import.meta.url), 'utf8'));

/** The source of src/options.ts. */
export function optionTypes() {
  const types = Object.entries(schema.$defs).map(([name, definition]) => declaration(name, definition));
  return ['// Made by `node npm/scripts/types.mjs` from docs/options.schema.json. Change the doc comments of sdk-core, not this.', ...types].join('\n\n') + '\n';
}

function declaration(name, definition) {
  const shape = definition.type === 'object' && definition.properties
    ? `export interface ${name} ${members(definition)}`
    : `export type ${name} = ${type(definition)};`;
  return comment(definition.description, '') + shape;
}

function members({ properties, required = [] }) {
  const lines = Object.entries(properties).map(([name, member]) => {
    const optional = required.includes(name) ? '' : '?';
    const text = [member.description, shown(member.default)].filter(Boolean).join('\n');
    return comment(text, '  ') + `  ${name}${optional}: ${type(member)};`;
  });
  return `{\n${lines.join('\n')}\n}`;
}

function shown(value) {
  return value === undefined || typeof value === 'object' ? '' : `@default ${JSON.stringify(value)}`;
}

function type(of) {
  if (of.$ref) return of.$ref.replace('#/$defs/', '');
  if ('const' in of) return JSON.stringify(of.const);
  if (of.enum) return of.enum.map((value) => JSON.stringify(value)).join(' | ');
  const choices = of.oneOf ?? of.anyOf;
  if (choices) {
    const all = choices.map((choice) => (choice.properties ? members(choice) : type(choice)));
    return all.filter((one) => one !== 'null' || choices.length > 2).join(' | ');
  }
  if (Array.isArray(of.type)) return type({ ...of, type: of.type.find((one) => one !== 'null') });
  switch (of.type) {
    case 'integer':
    case 'number': return 'number';
    case 'array': return `${wrapped(type(of.items))}[]`;
    case 'object': {
      const value = of.additionalProperties || Object.values(of.patternProperties ?? {})[0];
      return of.properties ? members(of) : `{ [key: string]: ${value ? type(value) : 'never'} }`;
    }
    case 'string':
    case 'boolean':
    case 'null': return of.type;
    default: throw new Error(`no type for ${JSON.stringify(of)}`);
  }
}

function wrapped(text) {
  return text.includes('|') ? `(${text})` : text;
}

function comment(text, indent) {
  if (!text) return '';
  const lines = text.split('\n');
  if (lines.length === 1) return `${indent}/** ${text} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */\n`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  writeFileSync(new URL('../src/options.ts', import.meta.url), optionTypes());
}
