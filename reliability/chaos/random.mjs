// Random numbers that are the same for the same seed.

/** A stream of random numbers; streams with other names are independent of it. */
export class Random {
  #seed
  #state

  constructor(seed, name = '') {
    this.#seed = seed
    this.#state = hash(`${seed}/${name}`)
  }

  /** Another stream of the same seed. */
  stream(name) {
    return new Random(this.#seed, name)
  }

  /** From 0 to 1: mulberry32. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `low` to `high`, both included. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  chance(probability) {
    return this.next() < probability
  }

  pick(list) {
    return list[this.between(0, list.length - 1)]
  }
}

/** FNV-1a. */
function hash(text) {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  }
  return value
}
