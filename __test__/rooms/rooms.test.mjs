// The order of the rooms in lib/: a file may only require files from its own room or from one below
// it.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const lib = fileURLToPath(new URL('../../lib/', import.meta.url))

/** From top to bottom. The two single files are below all rooms. */
const ROOMS = [
  'next',
  'socketio',
  'engine',
  'transports',
  'admission',
  'http-server',
  'bridge',
  'environment',
  'debug.js',
  'errors.js',
]

const files = readdirSync(lib, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(lib, join(entry.parentPath, entry.name)))

test('every file in lib/ belongs to a room', () => {
  assert.deepEqual(
    files.filter((file) => !ROOMS.includes(roomOf(file))),
    [],
  )
})

test('files in lib/ require nothing from a room above their own', () => {
  const upward = files.flatMap((file) =>
    requiredBy(file)
      .filter((required) => ROOMS.indexOf(roomOf(required)) < ROOMS.indexOf(roomOf(file)))
      .map((required) => `${file} requires ${required}`),
  )
  assert.deepEqual(upward, [])
})

/** The files in lib/ that a file loads. Types named in comments do not count. */
function requiredBy(file) {
  const source = readFileSync(join(lib, file), 'utf8').replace(/\/\*.*?\*\//gs, '')
  const loads = /(?:require\(|import\(|from |import )'(\.[^']+)'/g
  return [...source.matchAll(loads)]
    .map(([, path]) => relative(lib, resolveFile(join(lib, dirname(file), path))))
    .filter((path) => !path.startsWith('..'))
}

function resolveFile(path) {
  const found = [path, `${path}.js`, `${path}.mjs`].find((each) => existsSync(each))
  assert.ok(found, `${path} does not exist`)
  return found
}

function roomOf(file) {
  return file.split(sep)[0]
}
