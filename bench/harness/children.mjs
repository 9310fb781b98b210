// Keeps track of every child process, so that none outlives the run, however it ends. (Both kinds
// of children also end by themselves when their channel to the runner closes, which covers a killed
// runner.)

import { spawn } from 'node:child_process'

/** Each running child, with the signal that ends it. */
const alive = new Map()

/**
 * Spawns a child, on a single core if `core` is a number. taskset replaces itself, so pid and
 * channel stay the same.
 */
export function start(command, args, { core, stdio, env, signal = 'SIGKILL' }) {
  const [file, ...rest] =
    core === undefined ? [command, ...args] : ['taskset', '-c', String(core), command, ...args]
  const child = spawn(file, rest, { stdio, env })
  alive.set(child, signal)
  child.once('exit', () => alive.delete(child))
  child.once('error', () => alive.delete(child))
  return child
}

/**
 * Kills a child and waits until it has ended, so that the next sample starts on a quiet machine.
 */
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
