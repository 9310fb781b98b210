// Waits for messages from another process: never without a time limit, and never past its end.

export class Expectations {
  #pending = new Map()
  #failure

  /** Resolves when `resolve(key, …)` is called; one wait per key at a time. */
  wait(key, what, seconds) {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(key)
        reject(new Error(`${what}: nothing after ${seconds} s`))
      }, seconds * 1000)
      const settle = (settler) => (value) => {
        clearTimeout(timer)
        settler(value)
      }
      this.#pending.set(key, { resolve: settle(resolve), reject: settle(reject) })
    })
  }

  resolve(key, value) {
    this.#pending.get(key)?.resolve(value)
    this.#pending.delete(key)
  }

  reject(key, error) {
    this.#pending.get(key)?.reject(error)
    this.#pending.delete(key)
  }

  /** Rejects all waits, present and future. The first reason counts. */
  fail(error) {
    this.#failure ??= error
    for (const { reject } of this.#pending.values()) reject(this.#failure)
    this.#pending.clear()
  }
}
