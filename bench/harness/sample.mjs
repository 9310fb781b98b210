// One sample: one peer's server, the clients that load it, and the window between two readings of
// the server.

import { setTimeout as sleep } from 'node:timers/promises'

import { ClientProcess } from './client-process.mjs'
import { busySeconds } from './machine.mjs'
import { ServerProcess } from './server-process.mjs'

const SERVER = new URL('../server.mjs', import.meta.url)
/**
 * The prober's intervals: long ones beside CPU rows, short ones where the response times are the
 * figure. They are odd, so that they do not fall into step with paced broadcasts.
 */
const LIGHT = { 'interval-us': 47_100, connections: 8 }
const DENSE = { 'interval-us': 5_090, connections: 32 }

export class Sample {
  #clients = []
  #prober
  #cores
  #pages

  constructor({ server, cores, timing, pages }) {
    this.server = server
    this.timing = timing
    this.#cores = cores
    this.#pages = pages
  }

  /** Runs `scenario` against a new server of this peer and cleans up, whatever happens. */
  static async take(peer, scenario, { pinning, timing }) {
    const cores = scenario.pinned && pinning ? pinning : {}
    const server = await ServerProcess.start(SERVER, [peer], {
      flags: ['--expose-gc'],
      core: cores.server,
    })
    const warmUp = timing.warmUp * (scenario.warmUps ?? 1)
    const sample = new Sample({
      server,
      cores,
      timing: { ...timing, warmUp },
      pages: scenario.pages,
    })
    try {
      return await scenario.run(sample)
    } finally {
      await Promise.all(sample.#clients.map((client) => client.end()))
      await server.end()
    }
  }

  /** A connected load client. */
  async client(scenario, options) {
    const client = await ClientProcess.start(
      scenario,
      { port: this.server.port, ...options },
      this.#cores.client,
    )
    this.#clients.push(client)
    return client
  }

  /**
   * What `work` cost the server, with the response times of /page meanwhile. `counter` names what
   * the server counts; each count is a message to this many `receivers`. `work` may return figures
   * of its own.
   */
  async window(client, { counter, receivers = 1 }, work) {
    const clientBefore = await client.mark()
    await this.#prober?.mark()
    const before = await this.server.ask('sample')
    const busyBefore = busySeconds()
    const figures = (await work()) ?? {}
    const after = await this.server.ask('sample')
    const busy = busySeconds() - busyBefore
    const clientAfter = await client.mark()
    const get = await this.#stopProbing()
    const seconds = (after.at - before.at) / 1000
    const cpu = after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system
    const clientCpu = clientAfter.cpu_us - clientBefore.cpu_us
    const messages = (after[counter] - before[counter]) * receivers
    if (!(messages > 0)) throw new Error('nothing was measured: no message in the window')
    return {
      messages,
      seconds,
      perSecond: messages / seconds,
      cpu: cpu / messages,
      serverShare: cpu / 1e6 / seconds,
      clientShare: clientCpu / 1e6 / seconds,
      // The prober, and whatever else runs on this machine.
      othersShare: (busy - (cpu + clientCpu) / 1e6) / seconds,
      get,
      ...figures,
    }
  }

  /** Starts the load and the prober, and lets V8 optimize the code of both peers. */
  async warmUp(client) {
    if (this.#pages) {
      this.#prober = await this.client('probe', this.#pages === 'dense' ? DENSE : LIGHT)
      this.#prober.go()
    }
    client.go()
    await sleep(this.timing.warmUp * 1000)
  }

  /** Ends the load; the client must have verified as many messages as the server counted. */
  async finish(client, { counter, receivers = 1 }) {
    const { count: verified } = await client.stop()
    let counted
    for (let attempt = 0; attempt < 20; attempt++) {
      counted = (await this.server.ask('sample'))[counter] * receivers
      if (counted === verified) return
      await sleep(50)
    }
    throw new Error(`the server counted ${counted} messages, the client ${verified}`)
  }

  async #stopProbing() {
    const { samples } = (await this.#prober?.stop()) ?? {}
    return samples && { n: samples.n, p50: samples.p50_us / 1000, p99: samples.p99_us / 1000 }
  }
}
