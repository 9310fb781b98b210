// The README and the pages of docs/ tell the truth: the code runs as it stands, links lead somewhere,
// and commands, options, defaults and codes exist.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { io } from 'socket.io-client'
import { draw } from '../../bench/picture.mjs'
import { OPTIONS } from '../../lib/engine/options.js'
import { launchBrowser, skip } from '../browser/browser.mjs'
import { Child, runToEnd } from '../support/child.mjs'
import { environment } from '../support/environment.mjs'
import { freePort } from '../support/ports.mjs'
import { nextCommand } from '../next/project.mjs'
import { placeUpwire, prepareUpwire } from '../next/upwire.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** The parts of an app that the README leaves to its readers. */
const template = fileURLToPath(new URL('app/', import.meta.url))
const readme = read('README.md')
const documents = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'bench/README.md',
  ...list('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]
/** The files of the README, by the name in the first line of each block. */
const files = new Map(
  blocks(/^(?:js|ts|tsx)$/).map((code) => [/^\/\/ (\S+)/.exec(code)?.[1], code]),
)
const ROUTER = [
  'instrumentation.ts',
  'socket.ts',
  'next.config.mjs',
  'app/announce/route.ts',
  'app/page.tsx',
]
const CUSTOM = ['server.js', 'app/page.tsx']

const BUILD = 120_000
const READY = 60_000
/** How long a server with a connected client may take to exit. */
const EXIT = 5000

test('the README has the files of both ways in, and no others', () => {
  assert.deepEqual([...files.keys()].sort(), [...new Set([...ROUTER, ...CUSTOM])].sort())
  assert.ok(files.get('server.js').split('\n').length <= 20)
})

describe('the code of the README', { timeout: 600_000 }, () => {
  const next = nextCommand(root)
  let workshop
  let browser
  /** @type {Record<'router' | 'custom', string>} */
  const apps = {}

  before(async () => {
    mkdirSync(join(root, 'target'), { recursive: true })
    workshop = mkdtempSync(join(root, 'target', 'readme-'))
    placeTypeScript(workshop)
    placeUpwire(workshop, await prepareUpwire(join(workshop, 'packed'), 'tree'))
    apps.router = makeApp(workshop, 'router', ROUTER)
    apps.custom = makeApp(workshop, 'custom', CUSTOM)
    const env = environment({ NODE_ENV: 'production' })
    for (const cwd of Object.values(apps)) {
      await runToEnd(process.execPath, [next, 'build'], { cwd, env, timeout: BUILD })
    }
    if (!skip) browser = await launchBrowser()
  })

  after(async () => {
    await browser?.close()
    if (workshop !== undefined) rmSync(workshop, { recursive: true, force: true, maxRetries: 5 })
  })

  const ways = {
    'App Router under next start': {
      app: 'router',
      args: (port) => [next, 'start', '--port', String(port)],
      mode: 'production',
    },
    'App Router under next dev': {
      app: 'router',
      args: (port) => [next, 'dev', '--port', String(port)],
      mode: 'development',
    },
    'custom server in production': {
      app: 'custom',
      args: () => ['server.js'],
      mode: 'production',
    },
    'custom server in development': {
      app: 'custom',
      args: () => ['server.js'],
      mode: 'development',
    },
  }
  for (const [name, way] of Object.entries(ways)) {
    describe(name, () => {
      let server
      let url

      before(async () => {
        const port = await freePort()
        url = `http://localhost:${port}`
        const env = environment({ NODE_ENV: way.mode, PORT: String(port) })
        server = new Child(process.execPath, way.args(port), {
          cwd: apps[way.app],
          env,
          isGroup: true,
        })
        await server.says(/Ready in|^> http/m, READY)
      })

      after(() => server?.kill())

      test('connects clients over polling, WebSocket and the upgrade', async (t) => {
        const first = await connect(t, url)
        for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
          const second = await connect(t, url, { transports })
          const received = once(first, 'chat')
          second.emit('chat', `over ${transports}`)
          assert.deepEqual(await received, [`over ${transports}`])
        }
        if (first.io.engine.transport.name === 'polling') await once(first.io.engine, 'upgrade')
        assert.equal(first.io.engine.transport.name, 'websocket')
      })

      test('serves the page, which chats', { skip }, async () => {
        const pages = await Promise.all([1, 2].map(() => browser.newPage()))
        try {
          // Under `next dev` the first visit compiles the page.
          await Promise.all(pages.map((page) => page.goto(url, { timeout: BUILD })))
          // The page has no sign of being connected, so a message is repeated until it arrives.
          await until(async () => {
            await pages[0].fill('input', 'from a page')
            await pages[0].press('input', 'Enter')
            const texts = await Promise.all(pages.map((page) => page.textContent('pre')))
            return texts.every((text) => text.includes('from a page'))
          })
        } finally {
          await Promise.all(pages.map((page) => page.close()))
        }
      })

      if (way.app === 'router') {
        test('emits from a route', async (t) => {
          const client = await connect(t, url)
          // Under `next dev` the route's first request makes the client reconnect.
          let received
          client.on('chat', (text) => {
            received = text
          })
          await until(async () => {
            const answer = await fetch(`${url}/announce`, { method: 'POST', body: 'from a route' })
            assert.equal(await answer.text(), 'sent')
            return received === 'from a route'
          })
        })
      }

      if (way.mode === 'production') {
        test('exits on SIGTERM with a client connected', async (t) => {
          await connect(t, url, { transports: ['websocket'] })
          await server.terminate(EXIT)
        })
      }

      test('prints no warning', () => {
        assert.doesNotMatch(server.output, /UPWIRE_/)
      })
    })
  }
})

/** An app of the README in a folder of its own. */
function makeApp(workshop, name, names) {
  const folder = join(workshop, name)
  cpSync(template, folder, { recursive: true })
  for (const file of names) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), files.get(file))
  }
  return folder
}

/** Other packages are found further up, but the repository's TypeScript has no API for Next.js. */
function placeTypeScript(workshop) {
  const example = createRequire(join(root, 'examples', 'app-router', 'package.json'))
  const typescript = dirname(example.resolve('typescript/package.json'))
  mkdirSync(join(workshop, 'node_modules'))
  symlinkSync(typescript, join(workshop, 'node_modules', 'typescript'), 'junction')
}

/** Connects an official client that is closed when the test ends. */
async function connect(t, url, options = {}) {
  const client = io(url, { forceNew: true, ...options })
  t.after(() => client.close())
  await once(client, 'connect', { signal: AbortSignal.timeout(20_000) })
  return client
}

/** Waits until a condition holds. */
async function until(condition) {
  const deadline = performance.now() + 30_000
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, 'it does not happen')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

test('README, package.json and Cargo.toml describe upwire in the same words', () => {
  const { description } = JSON.parse(read('package.json'))
  assert.equal(read('Cargo.toml').match(/^description = "(.*)"$/m)[1], description)
  assert.equal(readme.split('\n\n')[1], `${description}.`)
})

test('the picture shows the table of the bench', () => {
  assert.equal(read('docs/bench.svg'), draw(read('bench/README.md')), 'run node bench/picture.mjs')
})

test('the README is short', () => {
  assert.ok(readme.split(/\s+/).filter(Boolean).length <= 900)
})

test('documents name scripts that exist', () => {
  const { scripts } = JSON.parse(read('package.json'))
  for (const document of documents) {
    for (const [, name] of read(document).matchAll(/npm run ([a-z:-]+)/g)) {
      assert.ok(scripts[name], `${document}: npm run ${name}`)
    }
  }
  assert.ok(scripts.start && scripts.test)
})

test('links lead somewhere', () => {
  for (const document of documents) {
    for (const [, link] of read(document).matchAll(/\]\(([^)]+)\)/g)) {
      if (/^https?:/.test(link)) continue
      const [path, anchor] = link.split('#')
      const file = path === '' ? document : join(dirname(document), path)
      assert.ok(existsSync(join(root, file)), `${document}: ${link}`)
      if (anchor !== undefined) assert.ok(anchors(file).includes(anchor), `${document}: ${link}`)
    }
  }
})

test('documents have the defaults of the code', () => {
  const tables = [...rows(readme), ...rows(read('docs/api.md'))]
  for (const [name, [, value]] of Object.entries(OPTIONS)) {
    if (typeof value !== 'number' && typeof value !== 'boolean') continue
    const cells = tables.filter(([first]) => first === `\`${name}\``)
    assert.ok(cells.length > 0, `${name} is in no table`)
    for (const row of cells) {
      const shown = row
        .slice(1)
        .some((cell) => numbers(cell).includes(value) || cell.includes(`\`${value}\``))
      assert.ok(shown, `${name}: ${value} is not in ${row.join(' | ')}`)
    }
  }
})

test('index.d.ts and docs/deployment.md have the defaults of the code', () => {
  const types = read('index.d.ts')
  const deployment = read('docs/deployment.md')
  for (const [name, [, value]] of Object.entries(OPTIONS)) {
    if (typeof value !== 'number' && typeof value !== 'boolean') continue
    const comments = [...types.matchAll(/@default (.*)\n(?: \*.*\n| +\*.*\n)* +(\w+)\?:/g)]
    const shown = comments.filter(([, , option]) => option === name).map(([, text]) => text)
    assert.ok(shown.length > 0, `${name} has no @default in index.d.ts`)
    for (const text of shown) {
      const isRight = text === String(value) || numbers(text).includes(value)
      assert.ok(isRight, `${name}: ${value} is not in index.d.ts: ${text}`)
    }
    const [, line] = deployment.match(new RegExp(`^- \`${name}\`, ([^:]*)`, 'm')) ?? []
    if (line !== undefined) assert.ok(numbers(line).includes(value), `${name}: ${line}`)
  }
})

test('docs/api.md has every option, in order', () => {
  const section = read('docs/api.md').match(/^## Options.*?(?=^## )/ms)[0]
  const [engine] = section.split('### ')
  const names = rows(engine).map(([name]) => name.replaceAll('`', ''))
  assert.deepEqual(names, Object.keys(OPTIONS).sort())
})

test('docs/api.md has every code, once, and docs/troubleshooting.md says what to do', () => {
  const types = read('index.d.ts')
  const declared = new Set(types.match(/'(?:ERR_)?UPWIRE_\w+'/g).map((code) => code.slice(1, -1)))
  const listed = rows(read('docs/api.md'))
    .map(([code]) => code.replaceAll('`', ''))
    .filter((code) => /^(ERR_)?UPWIRE_/.test(code))
  assert.deepEqual(listed.sort(), [...declared].sort())
  const native = read('src/protocol/close_reason.rs').match(/ERR_UPWIRE_\w+(?=";)/g)
  assert.ok(native.length > 10)
  for (const code of native) assert.ok(declared.has(code), `${code} is not declared`)
  const cures = read('docs/troubleshooting.md')
  for (const code of declared) assert.ok(cures.includes(`\`${code}\``), `${code} has no cure`)
})

/** Blocks of code in the README, by language. */
function blocks(language) {
  const fences = [...readme.matchAll(/^```(\w+)\n(.*?)^```/gms)]
  return fences.filter(([, name]) => language.test(name)).map(([, , code]) => code)
}

/** Rows of all tables, as cells. */
function rows(text) {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

/** Numbers of a cell in the units of the options. */
function numbers(cell) {
  const units = { s: 1000, MB: 1_000_000, MiB: 1024 * 1024 }
  return [...cell.matchAll(/([\d,]+)(?: (s|MB|MiB))?\b/g)].map(
    ([, digits, unit]) => Number(digits.replaceAll(',', '')) * (units[unit] ?? 1),
  )
}

/** Anchors of a document's headings. */
function anchors(file) {
  return [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

function read(path) {
  return readFileSync(join(root, path), 'utf8')
}

function list(folder) {
  return readdirSync(join(root, folder))
}
