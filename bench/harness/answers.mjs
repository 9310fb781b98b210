// The server's side of server-process.mjs.

/** Runs operations for the runner, and ends when the runner does, in whatever way. */
export function answer(operations) {
  process.on('message', async ({ id, operation, options }) => {
    try {
      process.send({ id, result: await operations[operation](options) })
    } catch (error) {
      process.send({ id, error: String(error?.stack ?? error) })
    }
  })
  process.on('disconnect', () => process.exit(0))
}
