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
  // It names the entries of the package for file tracing, in a function that is never called.
  const entries = ['../index.js', '../preload.js'].map(
    (entry) => `next/register.js requires ${entry}`,
  )
  assert.deepEqual(upward, entries)
})

/** The files in lib/ that a file loads. Types named in comments do not count. */
function requiredBy(file) {
  const source = readFileSync(join(lib, file), 'utf8').replace(/\/\*.*?\*\//gs, '')
  const loads = /(?:require(?:\.resolve)?\(\s*|import\(\s*|from |import )'((?:\.|upwire)[^']*)'/g
  return [...source.matchAll(loads)]
    .map(([, path]) => (path.startsWith('.') ? join(dirname(file), path) : join('..', path)))
    .map((path) => relative(lib, resolveFile(join(lib, path))))
    .filter((path) => !path.startsWith(join('..', 'native')))
}

function resolveFile(path) {
  const found = [`${path}.js`, `${path}.mjs`, path].find((each) => existsSync(each))
  return found ?? path
}

/** The entries of the package are above all rooms. */
function roomOf(file) {
  return file.split(sep)[0]
}

test('files in lib/ name the modules that they load literally', () => {
  const computed = files.flatMap((file) => {
    const source = readFileSync(join(lib, file), 'utf8')
      .replace(/\/\*.*?\*\//gs, '')
      .replace(/\/\/.*/g, '')
    return [...source.matchAll(/\b(?:require|import)\(\s*[^\s'][^)]*\)|= require\b(?!\()/g)].map(
      ([load]) => `${file}: ${load}`,
    )
  })
  assert.deepEqual(computed, [])
})
