// JSONP polling, and which pages may use it (docs/protocol.md#jsonp).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { runInNewContext } from 'node:vm'
import { POLLING, WEBSOCKET, request, response, upgrade } from '../support/requests.mjs'
import { accepted } from '../support/engine-clients.mjs'
import { readText, text } from '../support/frames.mjs'
import { EIO3, POLLING_3 } from '../support/revision-3.mjs'
import { wire } from '../support/world.mjs'

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }

async function ask(world, line, headers = {}, body = '') {
  const length = line.startsWith('POST') ? { 'Content-Length': Buffer.byteLength(body) } : {}
  const all = { Host: 'app.example', ...length, ...headers }
  const peer = await world.peer(request(line, all, body))
  const answer = await response(peer)
  peer.destroy()
  return answer
}

/** Runs an answer as a browser would; returns the argument of the call. */
function run({ status, headers, text: script }, index = '0') {
  assert.equal(status, 200, script)
  assert.equal(headers['content-type'], 'text/plain; charset=UTF-8')
  assert.ok(!/[\u2028\u2029]/.test(script))
  const calls = []
  runInNewContext(script, { ___eio: { [index]: (payload) => calls.push(payload) } })
  assert.equal(calls.length, 1)
  return calls[0]
}

/** Opens a session; returns its target and the app's view of it. */
async function open(world, target = `${POLLING}&j=0`, headers = {}, index = '0') {
  const payload = run(await ask(world, `GET ${target}`, headers), index)
  const { sid } = JSON.parse(payload.slice(payload.indexOf('{')))
  return { sid, target: `${target}&sid=${sid}`, session: await world.session() }
}

const TEXT = 'a"b\\n\\\n\u2028\u2029\u20ac\u{1f600}</script>'

describe('revision 4', () => {
  wire('answers are scripts, with packets of base64', {}, async (world) => {
    const { target, session } = await open(world)
    session.socket.send(TEXT)
    session.socket.send(Buffer.from([1]))
    const answer = await ask(world, `GET ${target}`)
    assert.equal(answer.headers['content-length'], String(answer.body.length))
    assert.equal(answer.headers['cache-control'], 'no-store')
    assert.equal(run(answer), `4${TEXT}\x1ebAQ==`)
  })

  wire('a POST is a form', {}, async (world) => {
    const { target, session } = await open(world)
    const send = (field) => ask(world, `POST ${target}`, FORM, field)
    const escaped = '4a\\nb\\\\nc\x1e4\u20ac +&='
    const answer = await send(`d=${encodeURIComponent(escaped)}`)
    assert.deepEqual([answer.status, answer.text], [200, 'ok'])
    await send('x=1&d=4two+words')
    assert.deepEqual(await session.received(3), ['a\nb\\nc', '\u20ac +&=', 'two words'])
  })

  for (const body of ['', '4a', 'e=4a', 'd=4a&d=4b', 'd=']) {
    wire(`the body ${JSON.stringify(body)} ends the session`, {}, async (world) => {
      const { target, session } = await open(world)
      assert.equal((await ask(world, `POST ${target}`, FORM, body)).status, 200)
      assert.equal((await session.closed()).reason, 'parse error')
      assert.deepEqual(session.messages, [])
    })
  }

  for (const [j, index] of [
    ['', ''],
    ['12', '12'],
    ['1;alert(1)//', '11'],
    ['%0d%0aX:1', '1'],
  ]) {
    wire(`only the digits of j=${j} are in the answer`, {}, async (world) => {
      const answer = await ask(world, `GET ${POLLING}&j=${j}`)
      assert.ok(answer.text.startsWith(`___eio[${index}]("0{`), answer.text)
      assert.ok(answer.text.endsWith('}");'), answer.text)
      await world.session()
    })
  }

  wire('long answers arrive whole', {}, async (world) => {
    const { target, session } = await open(world)
    const message = '\u20ac'.repeat(50_000)
    session.socket.send(message)
    assert.equal(run(await ask(world, `GET ${target}`)), `4${message}`)
  })

  wire('listeners for headers see the length of the script', {}, async (world) => {
    const lengths = []
    world.engine.on('headers', (headers) => lengths.push(headers['Content-Length']))
    const answer = await ask(world, `GET ${POLLING}&j=0`)
    assert.deepEqual(lengths, [answer.body.length])
    await world.session()
  })

  wire('close() and an upgrade answer a parked GET with a script', {}, async (world) => {
    const closing = await open(world)
    const parked = ask(world, `GET ${closing.target}`)
    closing.session.socket.close()
    assert.match(run(await parked), /1$/)
    const upgrading = await open(world)
    const noop = ask(world, `GET ${upgrading.target}`)
    const peer = await world.peer(upgrade(`${WEBSOCKET}&sid=${upgrading.sid}`))
    await accepted(peer)
    peer.write(text('2probe'))
    assert.equal(await readText(peer), '3probe')
    assert.equal(run(await noop), '6')
    peer.write(text('5'), text('4up'))
    assert.deepEqual(await upgrading.session.received(1), ['up'])
  })
})

describe('revision 3', () => {
  wire('answers count code units and have base64, also without b64', EIO3, async (world) => {
    const { target, session } = await open(world, `${POLLING_3}&j=3`, {}, '3')
    session.socket.send('\u20ac\u{1f600}')
    session.socket.send(Buffer.from([1]))
    assert.equal(run(await ask(world, `GET ${target}`), '3'), '4:4\u20ac\u{1f600}6:b4AQ==')
    const body = `d=${encodeURIComponent('3:4\u{1f600}6:b4AQI=')}`
    assert.equal((await ask(world, `POST ${target}`, FORM, body)).text, 'ok')
    assert.deepEqual(await session.received(2), ['\u{1f600}', Buffer.from([1, 2])])
  })

  wire('a body of bytes is refused', EIO3, async (world) => {
    const { target, session } = await open(world, `${POLLING_3}&j=0`)
    const headers = { 'Content-Type': 'application/octet-stream' }
    assert.equal((await ask(world, `POST ${target}`, headers, 'x')).status, 400)
    assert.equal((await session.closed()).description.code, 'ERR_UPWIRE_INVALID_CONTENT')
  })
})

const BROWSER = { 'User-Agent': 'Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko' }
const OWN = { Referer: 'http://app.example/chat?x=1' }
const LISTED = { Referer: 'https://site.example/page' }
const EVIL = { Referer: 'https://evil.example/' }
const SITE = (site) => ({ 'Sec-Fetch-Site': site })

describe('only pages that may connect can poll with JSONP', () => {
  const options = { allowedOrigins: 'https://site.example' }
  const accepts = {
    'no browser': {},
    'an own page, by Sec-Fetch-Site': { ...BROWSER, ...SITE('same-origin') },
    'an own page of an old browser': { ...BROWSER, ...OWN },
    'an own page behind a proxy': {
      ...BROWSER,
      Referer: 'https://public.example/',
      'X-Forwarded-Host': 'public.example',
    },
    'a listed page': { ...BROWSER, ...LISTED, ...SITE('cross-site') },
    'a listed page of an old browser': { ...BROWSER, ...LISTED },
    'a listed page, by Origin': { ...BROWSER, Origin: 'https://site.example' },
  }
  for (const [name, headers] of Object.entries(accepts)) {
    wire(`accepts ${name}`, options, async (world) => {
      const { target, session } = await open(world, `${POLLING}&j=0`, headers)
      const { status } = await ask(world, `POST ${target}`, { ...FORM, ...headers }, 'd=4a')
      assert.equal(status, 200)
      assert.deepEqual(await session.received(1), ['a'])
    })
  }

  const refuses = {
    'another page': { ...BROWSER, ...EVIL, ...SITE('cross-site') },
    'another page of an old browser': { ...BROWSER, ...EVIL },
    'a page that hides itself': { ...BROWSER, ...SITE('cross-site') },
    'a page that hides itself in an old browser': BROWSER,
    'a page of a subdomain': { ...BROWSER, ...OWN, ...SITE('same-site') },
    'another port': { ...BROWSER, Referer: 'http://app.example:8080/' },
    'a Referer that only begins like an own one': { Referer: 'http://app.example.evil.example/' },
    'a Referer with a user': { ...BROWSER, Referer: 'http://app.example@evil.example/' },
    'a Referer that is no URL': { ...BROWSER, Referer: 'app.example' },
    'a hidden origin': { ...BROWSER, Origin: 'null' },
    'another origin': { ...BROWSER, ...OWN, Origin: 'https://evil.example' },
    'an old Opera that hides the page': { 'User-Agent': 'Opera/9.80' },
  }
  for (const [name, headers] of Object.entries(refuses)) {
    wire(`refuses ${name}`, options, async (world) => {
      const { sid } = await open(world)
      for (const line of [`GET ${POLLING}&j=0`, `GET ${POLLING}&j=0&sid=${sid}`]) {
        const answer = await ask(world, line, headers)
        assert.deepEqual([answer.status, answer.json.code], [403, 4])
        assert.equal((await world.refusal()).context.name, 'ORIGIN_NOT_ALLOWED')
      }
      assert.equal(world.sessions.length, 1)
    })
  }

  wire('allowedOrigins "*" lets any page', { allowedOrigins: '*' }, async (world) => {
    await open(world, `${POLLING}&j=0`, { ...BROWSER, ...EVIL, ...SITE('cross-site') })
  })
})
