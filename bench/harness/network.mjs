// A network namespace of its own, for machines whose default congestion control would spoil the
// figures. BBR paces: when small messages go to silent receivers, it takes the connection for a
// slow one and delays the second of two broadcasts by tens of milliseconds. Most servers use cubic.
// A network namespace may choose reno without privileges, and reno behaves the same as long as
// nothing is lost. Loopback is the only interface in such a namespace.

import { spawnSync } from 'node:child_process'

import { start } from './children.mjs'
import { congestionControl } from './machine.mjs'

const FINE = ['cubic', 'reno']
const INSIDE = 'UPWIRE_BENCH_NETWORK'

const script = `ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && exec "$@"`
const unshare = ['--user', '--map-root-user', '--net', 'sh', '-c', script, 'sh']

/** Whether this process runs inside. */
export const isInside = process.env[INSIDE] === 'own'

/** Whether to run inside, and whether that works on this machine. */
export function shouldEnter() {
  if (isInside || FINE.includes(congestionControl())) return false
  return spawnSync('unshare', [...unshare, 'true']).status === 0
}

/** Runs this command again inside; resolves with its exit code. */
export function enter() {
  const inner = start('unshare', [...unshare, process.execPath, ...process.argv.slice(1)], {
    // The channel carries no messages; when it closes, the inner process knows that this one has
    // ended.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [INSIDE]: 'own' },
    // The inner process must also end its own children.
    signal: 'SIGTERM',
  })
  return new Promise((resolve, reject) => {
    inner.once('error', reject)
    inner.once('exit', (code) => resolve(code ?? 1))
  })
}

if (isInside) {
  process.once('disconnect', () => process.exit(1))
  // A listener keeps the channel open, but must not keep the process alive.
  process.channel?.unref()
}
