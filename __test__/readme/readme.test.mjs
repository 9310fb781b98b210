// What the README says is so: its code runs as it stands, its links lead somewhere, its commands
// and options exist.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { OPTIONS } from '../../lib/engine/options.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const app = fileURLToPath(new URL('app/', import.meta.url))
const readme = read('README.md')
const documents = ['README.md', 'CHANGELOG.md', ...list('docs').map((name) => join('docs', name))]
const [server, client] = blocks('js')

describe('the code of the README', { timeout: 180_000 }, () => {
  before(() => {
    writeFileSync(join(app, 'server.js'), server)
    writeFileSync(join(app, 'client.mjs'), client)
  })

  after(() => {
    for (const name of ['server.js', 'client.mjs', '.next']) {
      rmSync(join(app, name), { recursive: true, force: true })
    }
  })

  test('is two files, and short', () => {
    assert.equal(blocks('js').length, 2)
    assert.ok(server.trim().split('\n').length <= 20)
    assert.ok(client.trim().split('\n').length <= 5)
  })

  test('works with next dev', { timeout: 120_000 }, () => chat('development'))

  test('works with next build', { timeout: 120_000 }, async () => {
    const next = join(root, 'node_modules', 'next', 'dist', 'bin', 'next')
    const build = new Program([next, 'build'], { NODE_ENV: 'production' })
    assert.equal(await build.ended, 0, build.output)
    await chat('production')
  })
})

/** Runs both files, as a page would run the client. */
async function chat(mode) {
  const port = await freePort()
  const running = new Program(['server.js'], { NODE_ENV: mode, PORT: String(port) })
  try {
    await running.printed(/^> http:\/\/localhost:/m)
    const page = await fetch(`http://localhost:${port}`)
    assert.match(await page.text(), /The page/)
    const location = { protocol: 'http:', host: `localhost:${port}` }
    const inPage = `globalThis.location = ${JSON.stringify(location)}`
    const preload = `data:text/javascript,${encodeURIComponent(inPage)}`
    const visitor = new Program(['--import', preload, 'client.mjs'], {})
    try {
      await visitor.printed(/^chat: hello$/m)
      await visitor.printed(/^answer: ok$/m)
    } finally {
      await visitor.stop()
    }
  } finally {
    await running.stop()
  }
}

test('is short', () => {
  assert.ok(readme.split(/\s+/).filter(Boolean).length <= 900)
})

test('names scripts that exist', () => {
  const { scripts } = JSON.parse(read('package.json'))
  for (const document of documents) {
    for (const [, name] of read(document).matchAll(/npm run ([a-z:-]+)/g)) {
      assert.ok(scripts[name], `${document}: npm run ${name}`)
    }
  }
  assert.ok(scripts.start && scripts.test)
})

test('has links that lead somewhere', () => {
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

test('has the defaults that the code has', () => {
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

test('has every option in docs/api.md, in order', () => {
  const section = read('docs/api.md').match(/^## Options.*?(?=^## )/ms)[0]
  const [engine] = section.split('### ')
  const names = rows(engine).map(([name]) => name.replaceAll('`', ''))
  assert.deepEqual(names, Object.keys(OPTIONS).sort())
})

test('has every code in docs/api.md, once', () => {
  const types = read('index.d.ts')
  const declared = new Set(types.match(/'(?:ERR_)?UPWIRE_\w+'/g).map((code) => code.slice(1, -1)))
  const listed = rows(read('docs/api.md'))
    .map(([code]) => code.replaceAll('`', ''))
    .filter((code) => /^(ERR_)?UPWIRE_/.test(code))
  assert.deepEqual(listed.sort(), [...declared].sort())
  const native = read('src/protocol/close_reason.rs').match(/ERR_UPWIRE_\w+(?=";)/g)
  assert.ok(native.length > 10)
  for (const code of native) assert.ok(declared.has(code), `${code} is not declared`)
})

/** A program in the app's folder. */
class Program {
  output = ''
  #child
  #look = () => {}

  constructor(args, variables) {
    const env = { ...process.env, ...variables, NEXT_TELEMETRY_DISABLED: '1' }
    delete env.NODE_TEST_CONTEXT
    this.#child = spawn(process.execPath, args, { cwd: app, env })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.output += text
        this.#look()
      })
    }
    this.ended = new Promise((resolve) => this.#child.on('close', resolve))
  }

  /** Waits until the output has something. */
  printed(pattern) {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const match = this.output.match(pattern)
        if (match !== null) resolve(match)
      }
      this.#look()
      this.ended.then(() => reject(new Error(`ended without ${pattern}\n${this.output}`)))
    })
  }

  async stop() {
    this.#child.kill('SIGKILL')
    await this.ended
  }
}

/** A port that was free a moment ago: the README's server prints the one it was given. */
async function freePort() {
  const probe = createServer().listen(0)
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}

function blocks(language) {
  const pattern = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms')
  return [...readme.matchAll(pattern)].map(([, code]) => code)
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
  const units = { s: 1000, MiB: 1024 * 1024 }
  return [...cell.matchAll(/([\d,]+)(?: (s|MiB))?\b/g)].map(
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
