// The expected result of every check in every cell. It is `ok`, unless a rule says otherwise; the last rule
// that applies wins.

const PAGE = ['page', 'pageAfter', 'unknown', 'ending', 'port']
const FAREWELLS = ['farewell', 'pollingFarewell']
const SOCKETS = [
  'first',
  'polling',
  'websocket',
  'upgrade',
  'reloads',
  'tabs',
  'stable',
  ...FAREWELLS,
]

/** The checks of a cell, before the rules are applied. */
function checksOf({ shape }) {
  return [
    ...PAGE,
    ...(shape.family === 'boot' ? ['boot', 'websocket', ...FAREWELLS] : SOCKETS),
    ...(shape.route ? ['route'] : []),
    ...(shape.answers ? ['firstPoll'] : []),
    ...(shape.dev ? ['hmr'] : []),
    ...(shape.emits ? ['emit'] : []),
  ]
}

const isInstrumentation = ({ shape }) =>
  shape.family === 'instrumentation' || shape.family === 'boot'
const isPages = ({ shape }) => shape.family === 'pages'
const hasWorkers = ({ version }) => version.workers !== ''

/**
 * @typedef {object} Rule
 * @property {string[]} checks
 * @property {(cell: import('./shapes.mjs').Cell) => boolean} when
 * @property {string[]} gives the allowed results; if there are none, the check does not run
 * @property {string} because
 * @property {string} [word] what the table shows for such a cell instead of `ok`
 */

/** @type {Rule[]} */
const rules = [
  {
    checks: ['first'],
    when: ({ shape }) => isPages({ shape }) && !shape.waits,
    gives: [],
    because: 'before the route has run, Socket.IO does not; a separate shape covers that',
  },
  {
    checks: ['first'],
    when: (cell) => isInstrumentation(cell) && cell.version.registers === 'request',
    gives: [],
    because: 'register() runs at the first HTTP request',
  },
  {
    checks: ['first'],
    when: ({ shape, version }) =>
      isInstrumentation({ shape }) &&
      version.registers === 'dev' &&
      (shape.command === 'standalone' || (shape.command === 'start' && !shape.withUpwire)),
    gives: [],
    because: 'the same, and without the hook in next.config.js no request triggers it',
  },
  {
    checks: ['unknown'],
    when: ({ version }) => version.endsUpgrades,
    gives: ['ok', 'ended'],
    because: 'Next.js ends upgrades of unknown paths',
  },
  {
    checks: ['unknown'],
    when: ({ shape, version }) => shape.matches && version.endsMatchedUpgrades,
    gives: ['ok', 'ended'],
    because: 'Next.js ends upgrades of its routes',
  },
  {
    checks: ['unknown'],
    when: ({ shape, version }) => shape.hasMiddleware && version.failsMiddleware,
    gives: ['ok', 'ended', 'Internal Server Error'],
    because: 'Next.js fails on upgrades when the app has a middleware, and ends them',
  },
  {
    checks: ['pollingFarewell'],
    when: ({ shape, version }) =>
      shape.dev || (shape.server ? !shape.closes : !version.closesOnSignal),
    gives: ['ok', 'transport error'],
    because: 'the process ends at once: a parked poll is cut, not answered',
  },
  {
    checks: ['hmr'],
    when: ({ shape, version }) =>
      shape.command === 'server' && version.workers === 'proxy' && shape.router !== 'pages',
    gives: [],
    because: 'the HMR of Next.js itself is broken there',
  },
  {
    checks: ['port'],
    when: ({ shape, version }) => shape.command === 'dev' && version.leavesDevServer,
    gives: [],
    because: 'Next.js itself leaves its child process running and the port open',
  },
  {
    checks: FAREWELLS,
    when: ({ shape, version }) => shape.command === 'dev' && version.leavesDevServer,
    gives: ['not told'],
    because: 'SIGTERM ends only the command: the server runs on, and its clients stay connected',
  },
  {
    checks: ['emit'],
    when: (cell) => hasWorkers(cell),
    gives: ['ERR_UPWIRE_NEXT_WORKERS'],
    because: 'the route runs in another process than the server',
    word: 'ERR_UPWIRE_NEXT_WORKERS',
  },
  {
    checks: [...SOCKETS, 'unknown'],
    when: (cell) => isInstrumentation(cell) && hasWorkers(cell),
    gives: [],
    because: 'register() never runs in the process that listens',
    word: 'ERR_UPWIRE_NEXT_WORKERS',
  },
  {
    checks: ['workers'],
    when: (cell) => isInstrumentation(cell) && hasWorkers(cell),
    gives: ['ok'],
    because: 'upwire warns about that',
  },
  {
    checks: ['websocket', 'farewell', 'unknown'],
    when: (cell) => isPages(cell) && hasWorkers(cell),
    gives: [],
    because: 'upgrades never reach the process in which the route runs',
    word: 'polling',
  },
  {
    checks: ['upgrade'],
    when: (cell) => isPages(cell) && hasWorkers(cell),
    gives: ['upgrades: []'],
    because: 'so upwire does not offer upgrades',
  },
]

/**
 * @param {import('./shapes.mjs').Cell} cell
 * @returns {Record<string, string[]>} the allowed results of each check that runs
 */
export function expectations(cell) {
  const all = Object.fromEntries(checksOf(cell).map((check) => [check, ['ok']]))
  for (const { checks, when, gives } of rules) {
    if (!when(cell)) continue
    for (const check of checks) {
      if (gives.length === 0) delete all[check]
      else if (check in all || check === 'workers') all[check] = gives
    }
  }
  return all
}

/** The unexpected results of a cell, or `undefined` if it has not run. */
export function problems(cell, result) {
  if (result === undefined) return undefined
  const wanted = Object.entries(expectations(cell))
  const wrong = wanted.filter(([check, allowed]) => !allowed.includes(result.checks[check]))
  const found = wrong.map(([check]) => `${check}: ${result.checks[check] ?? 'not run'}`)
  return result.checks.run === undefined ? found : [`run: ${result.checks.run}`]
}

/** The word that the table shows for a cell without problems. */
export function word(cell) {
  const rule = rules.find((rule) => rule.word && rule.when(cell) && mentions(rule, cell))
  return rule?.word ?? 'ok'
}

const mentions = ({ checks }, cell) => checks.some((check) => checksOf(cell).includes(check))
