// Numbers and switches from the command line, with their defaults.

import { parseArgs } from 'node:util'

/** `defaults` names every option: a number for a number, `false` for a switch. */
export function read(defaults) {
  const names = Object.keys(defaults)
  const isSwitch = (name) => defaults[name] === false
  const options = names.map((name) => [name, { type: isSwitch(name) ? 'boolean' : 'string' }])
  const { values } = parseArgs({ options: Object.fromEntries(options) })
  return Object.fromEntries(
    names.map((name) => {
      const value = values[name] ?? defaults[name]
      return [name, isSwitch(name) ? value : number(name, value)]
    }),
  )
}

function number(name, text) {
  const value = Number(text)
  if (value >= 0) return value
  console.error(`--${name} needs a number`)
  process.exit(2)
}
