// Every child process, so that none outlives the run, whichever way it ends. (Both kinds also end by themselves when
// their channel to the runner closes, which covers a runner that is killed.)

import { spawn } from 'node:child_process'

/** Each child alive, with the signal that ends it. */
const alive = new Map()

/** Spawns, on one core where `core` is a number. taskset replaces itself, so the pid and the channel stay. */
export function start(command, args, { core, stdio, env, signal = 'SIGKILL' }) {
  const [file, ...rest] =
    core === undefined ? [command, ...args] : ['taskset', '-c', String(core), command, ...args]
  const child = spawn(file, rest, { stdio, env })
  alive.set(child, signal)
  child.once('exit', () => alive.delete(child))
  child.once('error', () => alive.delete(child))
  return child
}

/** Kills a child and waits until it is gone, so that the next sample starts on a quiet machine. */
export async function end(child) {
  if (!alive.has(child)) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill(alive.get(child))
  await gone
}

function killAll() {
  for (const [child, signal] of alive) child.kill(signal)
}

process.once('exit', killAll)
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
]) {
  process.once(signal, () => process.exit(128 + number))
}
