// Runs the checks of memory safety, framing and thread safety that go beyond the tests, one after
// another; exits with 1 when one finds something. docs/reliability.md says what each proves.
//
//   npm run proof            all of them at length: an hour or more
//   npm run proof:short      a few minutes, for every change
//
// The last lines name the checks that cannot run here.

import { CommandError, fail, run } from './command.mjs'

const SHORT = [
  'node scripts/fuzz.mjs all 2',
  'node scripts/loom.mjs',
  'node scripts/miri.mjs packet payload frame:: heartbeat outbox polling::',
  'node scripts/asan.mjs wire/frames wire/packets',
  'node scripts/tsan.mjs',
]
const LONG = [
  'node scripts/fuzz.mjs all 300',
  'node scripts/loom.mjs',
  'node scripts/miri.mjs',
  'node scripts/asan.mjs',
  'node scripts/tsan.mjs',
]

const lines = process.argv.includes('--short') ? SHORT : LONG
const remarks = []
let failed = 0
for (const line of lines) {
  console.log(`\n> ${line}`)
  const start = process.hrtime.bigint()
  try {
    const output = await run(line)
    remarks.push(...output.split('\n').filter((text) => text.includes(': SKIPPED, ')))
  } catch (error) {
    if (!(error instanceof CommandError)) fail(error)
    console.error(error.message)
    failed++
  }
  console.log(`${(process.hrtime.bigint() - start) / 1_000_000_000n} s`)
}
for (const remark of remarks) console.log(`\n${remark}`)
console.log(failed === 0 ? '\nNothing found' : `\n${failed} of ${lines.length} found something`)
process.exit(failed > 0 ? 1 : 0)
