// Runs one exported function of a module; see child.mjs.

const [, , module, name, argument] = process.argv
const programs = await import(module)
await programs[name](JSON.parse(argument), {
  /** Tells the test something. */
  tell: (topic, value) => process.send({ topic, value }),
  /** Listens to the test; keeps the process alive. */
  hear: (topic, listener) => {
    process.on('message', (message) => {
      if (message.topic === topic) listener(message.value)
    })
  },
})
