// A network of our own, where the machine's default congestion control would spoil the figures. BBR paces: fed with
// small messages to silent receivers it takes a connection for a slow one, and holds back the second of two broadcasts
// for tens of milliseconds. Servers run on cubic nearly everywhere; reno, which a network namespace may choose without
// privileges, is the same as long as nothing is lost. Loopback is all such a namespace has.

import { spawnSync } from 'node:child_process'

import { start } from './children.mjs'
import { congestionControl } from './machine.mjs'

const FINE = ['cubic', 'reno']
const INSIDE = 'UPWIRE_BENCH_NETWORK'

const script = `ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && exec "$@"`
const unshare = ['--user', '--map-root-user', '--net', 'sh', '-c', script, 'sh']

/** This process is the one inside. */
export const isInside = process.env[INSIDE] === 'own'

/** Whether to run inside, and whether that works here. */
export function shouldEnter() {
  if (isInside || FINE.includes(congestionControl())) return false
  return spawnSync('unshare', [...unshare, 'true']).status === 0
}

/** Runs this command again inside; resolves with its exit code. */
export function enter() {
  const inner = start('unshare', [...unshare, process.execPath, ...process.argv.slice(1)], {
    // The channel carries nothing; its end tells the inner process that this one is gone.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [INSIDE]: 'own' },
    // It has children of its own to end.
    signal: 'SIGTERM',
  })
  return new Promise((resolve, reject) => {
    inner.once('error', reject)
    inner.once('exit', (code) => resolve(code ?? 1))
  })
}

if (isInside) {
  process.once('disconnect', () => process.exit(1))
  // Listening keeps the channel open, not the process.
  process.channel?.unref()
}
