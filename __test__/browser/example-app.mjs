// The small examples as their users run them, on more than one version of Next.js. Each runs in a
// copy, which the tests can edit and which has a build of its own.

import { cpSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { cache, install, nextCommand } from '../next/project.mjs'
import { placeUpwire, prepareUpwire } from '../next/upwire.mjs'
import { versions } from '../next/versions.mjs'
import { Child, runToEnd } from '../support/child.mjs'
import { environment } from '../support/environment.mjs'
import { until } from '../support/events.mjs'
import { freePort, isOpen } from '../support/ports.mjs'
import { isSource, repository } from './chat-app.mjs'

const BUILD = 300_000
const READY = 60_000
/** How long a process may take to end before its test fails. */
const END = 10_000

/**
 * @typedef {object} Example
 * @property {string} name of its folder
 * @property {string} title the heading of its page
 * @property {string} page the file that contains the title
 * @property {string} path of Socket.IO
 * @property {boolean} [server] whether its own server.js runs it
 * @property {string} announcer what sends to all pages when the button is pressed
 */

/** @type {Example[]} */
export const examples = [
  {
    name: 'custom-server',
    title: 'Custom server',
    page: 'app/page.tsx',
    path: '/socket.io/',
    server: true,
    announcer: 'a route handler',
  },
  {
    name: 'pages-api',
    title: 'Pages API',
    page: 'pages/index.tsx',
    path: '/api/socket',
    announcer: 'an API route',
  },
  {
    name: 'app-router',
    title: 'App Router',
    page: 'app/page.tsx',
    path: '/socket.io/',
    announcer: 'a server action',
  },
]

const traitsOf = (line) => versions.find(({ next }) => next.startsWith(`${line}.`))

/** The repository's own version of Next.js, and the oldest one that the examples support. */
export const editions = [
  { name: 'Next.js 16, React 19', isOwn: true, ...traitsOf(16) },
  { name: 'Next.js 14, React 18', isOwn: false, ...traitsOf(14) },
]

/** A folder for the copies, with the packages of one version next to them. */
export class Workshop {
  #folder
  #packages

  static async open(edition) {
    // Outside the repository, an older Next.js finds no lockfile that is not its own.
    const place = edition.isOwn ? join(repository, 'target') : cache
    mkdirSync(place, { recursive: true })
    const workshop = new Workshop()
    workshop.#folder = mkdtempSync(join(place, 'examples-'))
    workshop.#packages = workshop.#folder
    if (edition.isOwn) workshop.#takeOwnPackages()
    else workshop.#takePackages(await install(edition))
    placeUpwire(workshop.#folder, await prepareUpwire(join(workshop.#folder, 'packed'), 'tree'))
    return workshop
  }

  /**
   * All packages are found further up except TypeScript: the repository's version has no API for
   * Next.js.
   */
  #takeOwnPackages() {
    this.#packages = repository
    const example = createRequire(join(repository, 'examples', examples[0].name, 'package.json'))
    const typescript = dirname(example.resolve('typescript/package.json'))
    mkdirSync(join(this.#folder, 'node_modules'))
    symlinkSync(typescript, join(this.#folder, 'node_modules', 'typescript'), 'junction')
  }

  #takePackages(project) {
    linkTree(join(project, 'node_modules'), join(this.#folder, 'node_modules'))
  }

  /** Copies an example and builds it. */
  async build(example) {
    const folder = join(this.#folder, example.name)
    cpSync(join(repository, 'examples', example.name), folder, {
      recursive: true,
      filter: (path) => isSource(basename(path)),
    })
    const app = new App(example, folder, nextCommand(this.#packages))
    await app.build()
    return app
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Hard links cost no space and no time. */
function linkTree(from, to) {
  mkdirSync(to)
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, copy] = [join(from, entry.name), join(to, entry.name)]
    // Other processes may be replacing this one.
    if (entry.name.startsWith('upwire')) continue
    if (entry.isDirectory()) linkTree(source, copy)
    else if (entry.isSymbolicLink()) cpSync(source, copy, { verbatimSymlinks: true })
    else linkSync(source, copy)
  }
}

/** A copy of an example, and the server that runs it. */
class App {
  #next
  #server

  constructor(example, folder, next) {
    this.example = example
    this.folder = folder
    this.#next = next
  }

  async build() {
    const env = environment({ NODE_ENV: 'production' })
    const options = { cwd: this.folder, env, timeout: BUILD }
    await runToEnd(process.execPath, [this.#next, 'build'], options)
  }

  /** Resolves when the server accepts requests. A restarted server keeps its port. */
  async start({ dev = false } = {}) {
    this.port ??= await freePort()
    this.url = `http://localhost:${this.port}`
    const args = this.example.server
      ? ['server.js', ...(dev ? ['--dev'] : [])]
      : [this.#next, dev ? 'dev' : 'start', '--port', String(this.port)]
    const env = environment({ PORT: String(this.port) })
    this.#server = new Child(process.execPath, args, { cwd: this.folder, env, isGroup: true })
    await until(
      () => isOpen(this.port),
      () => `the server to listen\n${this.output}`,
      READY,
    )
  }

  /** The output of the server. */
  get output() {
    return this.#server?.output ?? ''
  }

  /** Sends SIGTERM, as a supervisor does; resolves with the milliseconds until the end. */
  terminate() {
    return this.#server.terminate(END)
  }

  /** Ends everything that runs; then nothing writes into the folder any more. */
  async kill() {
    this.#server?.kill()
    await this.#server?.ended
  }
}
