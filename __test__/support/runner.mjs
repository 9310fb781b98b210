// Runs one exported function of a module in a process of its own; see `start` in child.mjs.

const [, , module, name, argument] = process.argv
const programs = await import(module)
await programs[name](JSON.parse(argument), {
  /** Sends a message to the test. */
  tell: (topic, value) => process.send({ topic, value }),
  /** Calls a listener for each message of the test; keeps the process alive. */
  hear: (topic, listener) => {
    process.on('message', (message) => {
      if (message.topic === topic) listener(message.value)
    })
  },
})
