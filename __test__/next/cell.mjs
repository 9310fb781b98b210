// Runs a cell: writes the app, starts it as its users do, runs the checks, and stops it.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Arrivals } from './arrivals.mjs'
import { checks, end, openHmr, outcome } from './checks.mjs'
import { Clients } from './client.mjs'
import { expectations } from './expected.mjs'
import { nextCommand, prepareApp, standaloneOf } from './project.mjs'
import { Child } from '../support/child.mjs'
import { environment } from '../support/environment.mjs'
import { within } from '../support/events.mjs'
import { freePort } from '../support/ports.mjs'

const BUILD = 180_000
const READY = 60_000
const DEADLINE = 120_000

/** The checks that run concurrently, while a connection proves to be stable. */
const MEANWHILE = [
  'stable',
  'polling',
  'websocket',
  'upgrade',
  'reloads',
  'tabs',
  'unknown',
  'emit',
]

/**
 * @param {import('./shapes.mjs').Cell} cell
 * @returns {Promise<{ checks: Record<string, string>, ms: number }>}
 */
export async function runCell(cell, project, upwire) {
  const began = performance.now()
  const results = {}
  const visit = new Visit(cell, project)
  try {
    await prepareApp(cell, project, upwire, BUILD)
    const late = new Error(`not done after ${DEADLINE / 1000} s`)
    await within(examine(visit, results), late, DEADLINE)
  } catch (error) {
    results.run = error.message.split('\n')[0]
    visit.log += `\n${error.stack}`
  } finally {
    visit.leave()
  }
  writeLog(cell, project, visit.log, results)
  return { checks: results, ms: Math.round(performance.now() - began) }
}

async function examine(visit, results) {
  const wanted = new Set(Object.keys(expectations(visit.cell)))
  const record = async (name, check = checks[name]) => {
    if (wanted.has(name)) results[name] = await outcome(check(visit))
  }
  await visit.start()
  if (visit.cell.shape.waits) visit.firstClient = visit.clients.open({ transports: ['websocket'] })
  else await record('first')
  await record('boot')
  await record('page')
  await record('route')
  await record('firstPoll')
  if (visit.cell.shape.waits) await record('first')
  if (wanted.has('hmr')) results.hmr = await outcome(openHmr(visit))
  await Promise.all(MEANWHILE.map((name) => record(name)))
  await record('workers')
  if (results.hmr === 'ok') await record('hmr')
  await record('pageAfter')
  Object.assign(results, await end(visit, wanted))
}

/** A cell whose server is running. */
class Visit {
  #servers = []
  #abort = new AbortController()

  constructor(cell, project) {
    this.cell = cell
    this.project = project
    this.log = ''
  }

  async start() {
    const { shape } = this.cell
    this.port ??= await freePort()
    this.url = `http://localhost:${this.port}`
    this.clients ??= new Clients(this.url, shape.options)
    this.server = new Child(...command(this.cell, this.project, this.port))
    this.#servers.push(this.server)
    if (shape.family === 'boot') {
      this.arrivals ??= new Arrivals(this.clients, this.port, this.server, this.#abort.signal)
    }
    await this.server.says(readyLine(this.cell), READY)
  }

  /** Stops the cell's processes and clients. */
  leave() {
    this.#abort.abort()
    this.clients?.closeAll()
    this.hmr?.close()
    for (const server of this.#servers) {
      server.kill()
      this.log += server.output
    }
  }
}

/** The command that runs a cell's app, for `new Child()`. */
export function command({ shape, version, bundler }, project, port, more = {}) {
  const variables = { PORT: String(port), HOSTNAME: '0.0.0.0', ...more }
  if (shape.preload) variables.NODE_OPTIONS = '--require upwire/preload'
  const options = { cwd: project, env: environment(variables), isGroup: true }
  const next = (...args) => [process.execPath, [nextCommand(project), ...args], options]
  switch (shape.command) {
    case 'dev':
      return next('dev', '-p', port, ...bundler.flags)
    case 'start':
      return next('start', '-p', port)
    case 'standalone':
      options.cwd = standaloneOf(version)
      options.env.NODE_ENV = 'production'
      return [process.execPath, ['server.js'], options]
    case 'server':
      options.env.NODE_ENV = shape.dev ? 'development' : 'production'
      return [process.execPath, ['server.js'], options]
  }
}

/** The output of the server after which the first client may connect. */
function readyLine({ shape, version }) {
  if (shape.server) return /> ready/
  const atBoot = version.registers === 'boot' || (version.registers === 'dev' && shape.dev)
  if (shape.family === 'instrumentation' && version.workers === '' && atBoot) return /> registered/
  return /ready in|started server|listening on port/i
}

function writeLog(cell, project, log, results) {
  const folder = join(project, 'logs')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${cell.name.replaceAll(' ', '_')}.log`)
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n\n${log}`)
}
