// Describes the machine that takes the figures, and what it supports.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** The cores for the server and for the clients, or undefined where pinning is impossible. */
export function pinning() {
  const server = 0
  const client = 1
  const possible = spawnSync('taskset', ['-c', `${server},${client}`, 'true']).status === 0
  return possible && os.availableParallelism() > 1 ? { server, client } : undefined
}

/**
 * The share of a core that other processes may use in a window; prober and runner stay well below
 * it.
 */
export const DISTURBING = 0.2

/** The CPU seconds that the whole machine has worked since it started. */
export function busySeconds() {
  const [line] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map(Number)
  const ticksPerSecond = 100
  return (user + nice + system + irq + softirq + steal) / ticksPerSecond
}

/** The hard descriptor limit. Node and the client each raise their soft limit to it. */
export function descriptorLimit() {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  const [, hard] = limits.match(/^Max open files\s+\S+\s+(\S+)/m)
  return hard === 'unlimited' ? Infinity : Number(hard)
}

/** The congestion control of new TCP connections in this network namespace. */
export function congestionControl() {
  return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim()
}

/**
 * Reads the version next to the package's entry point: not every package exports its package.json.
 */
function version(name) {
  for (
    let at = path.dirname(require.resolve(name));
    at !== path.dirname(at);
    at = path.dirname(at)
  ) {
    const manifest = path.join(at, 'package.json')
    const found = existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8'))
    if (found?.name === name) return found.version
  }
  return 'unknown'
}

export function describe() {
  const [core] = os.cpus()
  return {
    date: new Date().toISOString(),
    cores: os.availableParallelism(),
    cpu: core?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`,
    congestionControl: congestionControl(),
    node: process.version,
    socketio: version('socket.io'),
    engineio: version('engine.io'),
    ws: version('ws'),
    descriptors: descriptorLimit(),
    load: os.loadavg().map((value) => Number(value.toFixed(2))),
  }
}
