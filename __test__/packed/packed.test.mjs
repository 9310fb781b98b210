// The packages as a user gets them: packed and installed into a Next.js app outside the repository,
// without a Rust toolchain in reach.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import {
  accessSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { io as connect } from 'socket.io-client'
import { platformName } from '../../scripts/platform.mjs'
import { Child } from '../support/child.mjs'
import { environment } from '../support/environment.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const require = createRequire(import.meta.url)
const timeout = 120_000
/** How long a server may take to listen. */
const READY = 60_000

describe('the packed packages', { timeout: 10 * 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'upwire-packed-'))
  const tarballs = join(folder, 'tarballs')
  const app = join(folder, 'app')
  const env = withoutRust(join(folder, 'bin'))

  before(async () => {
    await run('npm', ['run', 'pack:local', '--', tarballs], root)
    cpSync(new URL('app', import.meta.url), app, { recursive: true })
    const packed = readdirSync(tarballs).map((name) => join(tarballs, name))
    const others = ['next', 'react', 'react-dom', 'socket.io', 'typescript', '@types/node']
    const wanted = others.map((name) => `${name}@${require(`${name}/package.json`).version}`)
    const flags = ['--prefer-offline', '--no-audit', '--no-fund']
    await run('npm', ['install', ...flags, ...packed, ...wanted], app, env)
    await run('npx', ['--no', '--', 'next', 'build'], app, env)
  })

  after(() => rmSync(folder, { recursive: true, force: true }))

  test('are tested without a Rust toolchain in reach', async () => {
    for (const name of ['cargo', 'rustc']) {
      await assert.rejects(run('sh', ['-c', `${name} --version`], app, env))
    }
  })

  test('are the root package without a binary and the package of this platform', async () => {
    const names = readdirSync(tarballs)
    const { version } = require('../../package.json')
    const binary = `upwire-${platformName}`
    assert.deepEqual(names.sort(), [`upwire-${version}.tgz`, `${binary}-${version}.tgz`].sort())

    const manifest = installed('upwire/package.json')
    assert.deepEqual(manifest.optionalDependencies, { [binary]: version })
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
      assert.equal(manifest.scripts[script], undefined)
    }
    const files = readdirSync(join(app, 'node_modules', 'upwire'), { recursive: true })
    assert.deepEqual(
      files.filter((file) => file.endsWith('.node')),
      [],
    )
    for (const file of ['LICENSE', 'README.md', 'index.d.ts', 'Cargo.lock']) {
      assert.ok(files.includes(file), file)
    }
    const [addon, ...rest] = readdirSync(join(app, 'node_modules', binary)).filter(
      (file) => file !== 'package.json' && file !== 'README.md',
    )
    assert.deepEqual([addon, ...rest], [`upwire.${platformName}.node`])
    // Only tests may have exports that panic.
    const bytes = readFileSync(join(app, 'node_modules', binary, addon))
    assert.equal(bytes.includes('provoked by a test'), false)
  })

  test('satisfy publint', { timeout }, async () => {
    await runTool('publint', 'publint', ['--strict', tarball()])
  })

  test('have types for every way of importing', { timeout }, async () => {
    await runTool('@arethetypeswrong/cli', 'attw', [tarball()])
  })

  test('work in a CommonJS server', { timeout }, () => check('server.cjs'))

  test('work in an ES module server', { timeout }, () => check('server.mjs'))

  test('work in a TypeScript server', { timeout }, async () => {
    await run('npx', ['--no', '--', 'tsc', '--project', 'tsconfig.server.json'], app, env)
    await check('build/server.js')
  })

  test('say which binary is missing', { timeout }, async () => {
    rmSync(join(app, 'node_modules', `upwire-${platformName}`), { recursive: true })
    const { code, message } = await load()
    assert.equal(code, 'ERR_UPWIRE_NATIVE_MISSING')
    assert.ok(message.includes(`${process.platform}-${process.arch}`), message)
    assert.ok(message.includes('npm run build-from-source --prefix node_modules/upwire'), message)
  })

  test('can be built from source instead', { timeout: 10 * 60_000 }, async () => {
    const args = ['run', 'build-from-source', '--prefix', 'node_modules/upwire']
    // The real PATH, with cargo, and a target folder that a second run can reuse.
    const target = { CARGO_TARGET_DIR: join(root, 'target', 'from-source') }
    await run('npm', args, app, { ...environment(), ...target })
    await check('server.cjs')
  })

  test('say what to install when socket.io is missing', { timeout }, async () => {
    rmSync(join(app, 'node_modules', 'socket.io'), { recursive: true })
    const { code, message } = await load()
    assert.equal(code, 'ERR_UPWIRE_SOCKET_IO_MISSING')
    assert.ok(message.includes('npm install socket.io'), message)
  })

  function installed(path) {
    return JSON.parse(readFileSync(join(app, 'node_modules', path), 'utf8'))
  }

  function tarball() {
    return join(tarballs, `upwire-${require('../../package.json').version}.tgz`)
  }

  /** The error that attach() throws in the app. */
  async function load() {
    const code = `try { require('upwire').attach(require('http').createServer()) }
      catch ({ code, message }) { console.log(JSON.stringify({ code, message })) }`
    const { stdout } = await run(process.execPath, ['-e', code], app, env)
    return JSON.parse(stdout)
  }

  /**
   * Runs a server and checks the page, and echoes over polling, over WebSocket, and across the
   * upgrade.
   */
  async function check(file) {
    const child = new Child(process.execPath, [file], { cwd: app, env })
    try {
      const [, port] = await child.says(/^port (\d+)$/m, READY)
      const url = `http://localhost:${port}`
      const page = await fetch(url)
      assert.match(await page.text(), /The page/)
      for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        await echo(url, transports)
      }
    } finally {
      child.kill()
    }
  }
})

async function echo(url, transports) {
  const socket = connect(url, { transports, forceNew: true })
  try {
    await once(socket, 'connect')
    const { engine } = socket.io
    if (transports.length > 1 && engine.transport.name === 'polling') await once(engine, 'upgrade')
    assert.equal(engine.transport.name, transports.at(-1))
    const sent = { text: 'Grüße 👋', bytes: Buffer.from([0, 1, 255]) }
    assert.deepEqual(await socket.timeout(10_000).emitWithAck('echo', sent), sent)
  } finally {
    socket.close()
  }
}

/** Runs a command of a package in this repository. */
function runTool(name, command, args) {
  const manifest = join(root, 'node_modules', name, 'package.json')
  const { bin } = require(manifest)
  return run(process.execPath, [join(manifest, '..', bin[command] ?? bin), ...args], root)
}

async function run(command, args, cwd, env = environment()) {
  const options = { cwd, env, maxBuffer: 64 * 1024 * 1024 }
  try {
    return await promisify(execFile)(command, args, options)
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}\n${error.stdout}\n${error.stderr}`)
  }
}

/** An environment whose PATH has Node and npm, and no Rust. */
function withoutRust(bin) {
  mkdirSync(bin)
  for (const name of ['node', 'npm', 'npx', 'sh']) symlinkSync(find(name), join(bin, name))
  return environment({ PATH: bin })
}

function find(name) {
  for (const folder of process.env.PATH.split(delimiter)) {
    try {
      accessSync(join(folder, name))
      return join(folder, name)
    } catch {}
  }
  throw new Error(`no ${name}`)
}
