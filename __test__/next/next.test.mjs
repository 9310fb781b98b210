// A short selection of the matrix: the newest versions, with each way to use upwire once.
// `npm run test:next` runs the whole matrix.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { runCell } from './cell.mjs'
import { problems } from './expected.mjs'
import { cache, install } from './project.mjs'
import { cells } from './shapes.mjs'
import { placeUpwire, prepareUpwire } from './upwire.mjs'
import { versions } from './versions.mjs'

const SELECTION = {
  '14.2.35': [
    'custom production httpServer upgrades-all',
    'custom production middleware no-slash',
    'pages dev own-path',
  ],
  '15.5.29': [
    'pages start own-path',
    'pages start socket-route',
    'instrumentation dev',
    'custom dev emit',
  ],
  '16.4.6': [
    'custom dev plain upgrades-unknown',
    'instrumentation start',
    'instrumentation start boot',
    'instrumentation standalone',
  ],
}

describe('Next.js', { concurrency: 2, timeout: 10 * 60_000 }, () => {
  let upwire
  before(async () => {
    // `npm test` builds the addon before.
    upwire = await prepareUpwire(cache, 'tree')
  })

  for (const [number, shapes] of Object.entries(SELECTION)) {
    const version = versions.find(({ next }) => next === number)
    const [{ name: bundler }] = version.bundlers

    describe(number, { concurrency: false }, () => {
      let project
      before(async () => {
        project = await install(version)
        placeUpwire(project, upwire)
      })

      for (const shape of shapes) {
        test(shape, async () => {
          const name = `${number} ${shape} ${bundler}`
          const cell = cells.find((cell) => cell.name === name)
          assert.deepEqual(problems(cell, await runCell(cell, project, upwire)), [])
        })
      }
    })
  }
})
