// The Rust load client as the runner sees it: commands are lines of text, and events are lines of
// JSON (client/src/driver.rs).

import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { end, start } from './children.mjs'
import { Expectations } from './expect.mjs'

const crate = new URL('../client/', import.meta.url)
const binary = fileURLToPath(new URL('target/release/upwire-bench-client', crate))

/** Builds the client in release mode; its output goes to the terminal. */
export function build() {
  const manifest = fileURLToPath(new URL('Cargo.toml', crate))
  const target = fileURLToPath(new URL('target', crate))
  const cargo = start(
    'cargo',
    ['build', '--release', '--locked', '--manifest-path', manifest, '--target-dir', target],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return new Promise((resolve, reject) => {
    cargo.once('error', reject)
    cargo.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`cargo build ended with ${code}`)),
    )
  })
}

export class ClientProcess {
  #child
  #expect = new Expectations()
  #scenario

  /** Opens every connection that the scenario needs; resolves when that is done. */
  static async start(scenario, options, core) {
    const client = new ClientProcess()
    await client.#spawn(scenario, options, core)
    return client
  }

  go() {
    this.#child.stdin.write('go\n')
  }

  /** The current counters. */
  mark() {
    return this.#command('mark', 'mark')
  }

  /** Resolves once this many messages have arrived since the start. */
  until(count, seconds) {
    return this.#command(`until ${count}`, 'until', seconds)
  }

  /** Stops sending; resolves when no message is outstanding and everything has been verified. */
  stop() {
    return this.#command('stop', 'done', 40)
  }

  end() {
    return end(this.#child)
  }

  #command(line, event, seconds = 20) {
    const answer = this.#expect.wait(event, `client ${this.#scenario}: ${event}`, seconds)
    this.#child.stdin.write(`${line}\n`)
    return answer
  }

  #spawn(scenario, options, core) {
    this.#scenario = scenario
    const pairs = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
    this.#child = start(binary, [scenario, ...pairs], { core, stdio: ['pipe', 'pipe', 'inherit'] })
    // A write to a client that has just failed: the client's exit gives the reason.
    this.#child.stdin.on('error', () => {})
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { event, ...fields } = JSON.parse(line)
      if (event === 'failed') this.#fail(fields.message)
      else this.#expect.resolve(event, fields)
    })
    this.#child.on('error', (error) => this.#fail(error.message))
    // Only after the last line has been read, since a failure is named in a line.
    this.#child.on('close', (code, signal) => this.#fail(`ended (${signal ?? `code ${code}`})`))
    return this.#expect.wait('ready', `client ${scenario}: connecting`, 60)
  }

  #fail(message) {
    this.#expect.fail(new Error(`client ${this.#scenario}: ${message}`))
  }
}
