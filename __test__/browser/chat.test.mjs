// The example chat in production, in Chromium.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { launchBrowser, skip } from './browser.mjs'
import { buildChat, startChat } from './chat-app.mjs'
import { ChatPage } from './chat-page.mjs'

describe('chat in production', { skip }, () => {
  let browser
  let app

  before(
    async () => {
      await buildChat()
      browser = await launchBrowser()
      app = await startChat()
    },
    { timeout: 300_000 },
  )

  after(async () => {
    await browser?.close()
    await app?.stop()
  })

  /** A test with visitors of its own. When it fails, it shows the server's output. */
  function chatTest(name, names, body) {
    test(name, { timeout: 300_000 }, async (t) => {
      try {
        const visitors = []
        for (const visitor of names) visitors.push(await ChatPage.open(t, browser, app, visitor))
        await body(...visitors)
        for (const { errors } of visitors) assert.deepEqual(errors, [])
      } catch (error) {
        t.diagnostic(`server.js printed:\n${app.output}`)
        throw error
      }
    })
  }

  chatTest('a page starts with polling and moves to WebSocket', ['Ada'], async (ada) => {
    await ada.status('connected')
    await ada.transport('websocket')
    assert.deepEqual(await ada.shownTransports(), ['polling', 'websocket'])
    assert.equal(ada.openWebSockets('/socket.io/').length, 1)
  })

  chatTest('two tabs talk, and each message gets its tick', ['Ada', 'Bob'], async (ada, bob) => {
    await ada.say('Hello Bob')
    await bob.hears('Hello Bob', ada)
    await bob.say('Hello Ada – 你好 👋')
    await ada.hears('Hello Ada – 你好 👋', bob)
    assert.deepEqual(await ada.shownTicks('Hello Bob'), ['pending', 'delivered'])
  })

  chatTest('messages stay in order', ['Ada', 'Bob'], async (ada, bob) => {
    await Promise.all([ada.enter('random'), bob.enter('random')])
    const sent = Array.from({ length: 20 }, (_, index) => `Message ${index}`)
    for (const text of sent) await ada.write(text)
    await bob.hears(sent.at(-1), ada)
    assert.deepEqual(await bob.texts(), sent)
    await ada.sent(sent.at(-1), 'delivered')
    assert.deepEqual(await ada.texts(), sent)
  })

  chatTest('messages stay in their room', ['Ada', 'Bob', 'Eve'], async (ada, bob, eve) => {
    await eve.transport('websocket')
    await Promise.all([ada.enter('design'), bob.enter('design')])
    await ada.say('Only for designers')
    await bob.hears('Only for designers', ada)
    // Once this is acknowledged, everything sent to Eve before has arrived.
    await eve.say('Still in general')
    assert.deepEqual(
      eve.frames.filter((frame) => frame.includes('Only for designers')),
      [],
    )

    await eve.enter('design')
    await eve.hears('Only for designers', ada)
  })

  chatTest(
    'each page lists the visitors who are online in its room',
    ['Ada', 'Bob', 'Eve'],
    async (ada, bob, eve) => {
      await ada.online(ada, bob, eve)
      await eve.enter('design')
      await ada.online(ada, bob)
      await eve.online(eve)
      await bob.page.close()
      await ada.online(ada)
      await eve.enter('general')
      await ada.online(ada, eve)
    },
  )

  chatTest('an image arrives unchanged', ['Ada', 'Bob'], async (ada, bob) => {
    const screenshot = await ada.page.screenshot()
    // As large as allowed; bytes after the end of a PNG are ignored.
    const image = Buffer.concat([screenshot, randomBytes(2 * 1024 * 1024 - screenshot.length)])
    await ada.sendImage('screen.png', 'image/png', image)
    assert.ok((await bob.imageBytes('screen.png')).equals(image))
    assert.ok((await ada.imageBytes('screen.png')).equals(image))
    await bob.page.reload()
    assert.ok((await bob.imageBytes('screen.png')).equals(image), 'from the history of the room')
  })

  chatTest('an image that is too large is refused with a reason', ['Ada'], async (ada) => {
    await ada.sendImage('huge.png', 'image/png', Buffer.alloc(3 * 1024 * 1024))
    const problem = ada.page.getByTestId('problem')
    await problem.waitFor()
    assert.match(await problem.textContent(), /“huge.png” has 3 MB. An image may have up to 2 MB/)
    await ada.say('Then in words')
  })

  chatTest(
    'invalid data from one client does not disturb others',
    ['Ada', 'Eve'],
    async (ada, eve) => {
      await eve.page.addScriptTag({ url: '/socket.io/socket.io.js' })
      const replies = await eve.page.evaluate(async () => {
        const socket = window.io({ auth: { key: { not: 'a string' } }, forceNew: true })
        const bad = [undefined, null, 7, 'text', [], {}, new ArrayBuffer(3), { room: '__proto__' }]
        const text = { type: 'text', text: 'x' }
        const requests = [
          ...bad,
          { room: 'general', name: ' ' },
          { room: 'general', name: 'two\nlines' },
          { room: 'general', name: 'x'.repeat(33), id: 1, body: text },
          { room: 'general', id: 'before joining', body: text },
          ...bad.map((body) => ({ room: 'general', id: 'x', body })),
          { room: 'general', id: 'x', body: { type: 'image', mediaType: 'image/svg+xml' } },
          { room: 'general', id: 'x', body: { type: 'image', mediaType: 'image/png', data: 'x' } },
        ]
        for (const event of ['join', 'send']) {
          socket.emit(event)
          socket.emit(event, {}, 'no function')
        }
        const answers = requests.flatMap((request) => [
          socket.timeout(10_000).emitWithAck('join', request),
          socket.timeout(10_000).emitWithAck('send', request),
        ])
        const settled = await Promise.all(answers)
        socket.disconnect()
        return settled
      })
      assert.deepEqual(
        replies.filter(({ ok, reason }) => ok || !reason),
        [],
      )
      await ada.say('Still here')
      await eve.hears('Still here', ada)
    },
  )

  chatTest('a page works after each of three reloads', ['Ada', 'Bob'], async (ada, bob) => {
    for (const round of [1, 2, 3]) {
      await ada.page.reload()
      await ada.transport('websocket')
      assert.deepEqual(await ada.shownTransports(), ['polling', 'websocket'])
      await ada.say(`After reload ${round}`)
      await bob.hears(`After reload ${round}`, ada)
      await bob.say(`Welcome back ${round}`)
      await ada.hears(`Welcome back ${round}`, bob)
    }
    await ada.sent('After reload 1', 'delivered')
    await ada.online(ada, bob)
  })

  chatTest(
    'pages reconnect by themselves when the server restarts',
    ['Ada', 'Bob'],
    async (ada, bob) => {
      await ada.say('Before the restart')
      assert.equal((await app.stop()).code, 0)
      await Promise.all([ada.status('reconnecting'), bob.status('reconnecting')])
      await ada.write('Written meanwhile')
      await ada.sent('Written meanwhile', 'unsent')

      app = await startChat({ port: app.port })
      await Promise.all([ada.joined(), bob.joined()])
      await ada.sent('Written meanwhile', 'delivered')
      await bob.hears('Written meanwhile', ada)
      await bob.say('Here again')
      await ada.hears('Here again', bob)
      await Promise.all([ada.transport('websocket'), bob.transport('websocket')])
      assert.ok((await ada.texts()).includes('Before the restart'))
    },
  )

  chatTest(
    'SIGTERM ends the server while two WebSockets are open',
    ['Ada', 'Bob'],
    async (ada, bob) => {
      await Promise.all([ada.transport('websocket'), bob.transport('websocket')])
      const { port } = app
      const { milliseconds, ...end } = await app.stop()
      assert.deepEqual(end, { code: 0, signal: null })
      assert.ok(milliseconds < 1500, `took ${Math.round(milliseconds)} ms`)
      await ada.status('reconnecting')
      app = await startChat({ port })
    },
  )
})
