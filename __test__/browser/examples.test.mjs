// The small examples in Chromium, in production and in development, each on two versions of
// Next.js.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { launchBrowser, skip } from './browser.mjs'
import { editions, examples, Workshop } from './example-app.mjs'
import { ExamplePage } from './example-page.mjs'

for (const edition of editions) {
  describe(`examples on ${edition.name}`, { skip, concurrency: examples.length }, () => {
    let workshop
    let browser
    let apps

    before(
      async () => {
        workshop = await Workshop.open(edition)
        apps = await Promise.all(examples.map((example) => workshop.build(example)))
        browser = await launchBrowser()
      },
      { timeout: 600_000 },
    )

    after(async () => {
      await browser?.close()
      workshop?.close()
    })

    for (const [index, example] of examples.entries()) {
      // The examples run side by side, but the tests of each run in order.
      describe(example.name, { concurrency: 1 }, () => {
        let app

        before(
          async () => {
            app = apps[index]
            await app.start()
          },
          { timeout: 120_000 },
        )

        after(() => app?.kill())

        /** A test with two visitors. When it fails, it shows the server's output. */
        function exampleTest(name, body) {
          test(name, { timeout: 300_000 }, async (t) => {
            try {
              const ada = await ExamplePage.open(t, browser, app)
              const bob = await ExamplePage.open(t, browser, app)
              await body(ada, bob)
              assert.deepEqual([...ada.errors, ...bob.errors], [])
              assert.doesNotMatch(app.output, /UPWIRE_/, 'no warnings')
            } catch (error) {
              t.diagnostic(`the server printed:\n${app.output}`)
              throw error
            }
          })
        }

        exampleTest('two pages talk over WebSocket', async (ada, bob) => {
          await Promise.all([ada.people(2), bob.people(2)])
          await ada.say('Hello Bob')
          await bob.hears('Hello Bob')
          await bob.say('Hello Ada – 你好 👋')
          await ada.hears('Hello Ada – 你好 👋')
          assert.equal(ada.sockets.length, 1)
          assert.equal(bob.sockets.length, 1)
        })

        exampleTest('a reloaded page reconnects', async (ada, bob) => {
          await ada.reload()
          await ada.people(2)
          await ada.say('Here again')
          await bob.hears('Here again')
          await bob.say('Welcome back')
          await ada.hears('Welcome back')
          assert.equal(ada.sockets.length, 1)
        })

        exampleTest(`messages from ${example.announcer} arrive`, async (ada, bob) => {
          await ada.announce('Dinner is ready')
          await Promise.all([
            ada.hearsAnnouncement('Dinner is ready'),
            bob.hearsAnnouncement('Dinner is ready'),
          ])
          const response = await fetch(`${app.url}/api/announce`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ text: 'From outside' }),
          })
          assert.equal(response.status, 204)
          await bob.hearsAnnouncement('From outside')
        })

        exampleTest(
          'SIGTERM ends the server while pages are open, and they reconnect to the next one',
          async (ada, bob) => {
            ada.serverRestarts = bob.serverRestarts = true
            const times = []
            do {
              times.push(Math.round(await app.terminate()))
              await Promise.all([ada.status('reconnecting'), bob.status('reconnecting')])
              await app.start()
              await Promise.all([ada.transport('websocket'), bob.transport('websocket')])
              // Chromium may keep an unused connection in reserve. Node's close() waits for it, and
              // with it Next.js 14, also in apps without Socket.IO.
            } while (times.at(-1) >= 1500 && times.length < 3)
            assert.ok(times.at(-1) < 1500, `SIGTERM took ${times} ms`)
            await ada.say('Still here')
            await bob.hears('Still here')
          },
        )

        describe('in development', () => {
          before(
            async () => {
              await app.terminate()
              await app.start({ dev: true })
            },
            { timeout: 180_000 },
          )

          exampleTest('an edit is applied while both WebSockets stay open', async (ada, bob) => {
            await ada.say('Hello from dev')
            await bob.hears('Hello from dev')
            await ada.announce('Compiled on demand')
            await bob.hearsAnnouncement('Compiled on demand')
            const { page, title } = example
            let shown = title
            let stayed = false
            // Next.js reloads a page by itself when an edit meets a route that it is still compiling.
            for (const next of ['First edit', 'Second edit', 'Third edit']) {
              await Promise.all([ada.transport('websocket'), bob.transport('websocket')])
              await ada.say(`Before: ${next}`)
              await bob.hears(`Before: ${next}`)
              const [socket, ...moreSockets] = ada.sockets
              const [hmr, ...moreHmr] = ada.webSockets(edition.hmr)
              assert.ok(socket && hmr)
              assert.deepEqual([...moreSockets, ...moreHmr], [])

              await ada.page.evaluate(() => (window.loadedOnce = true))
              await edit(join(app.folder, page), `title="${shown}"`, `title="${next}"`)
              shown = next
              await ada.title(next)
              stayed = await ada.page.evaluate(() => window.loadedOnce === true)
              if (!stayed) continue

              await ada.say(`After: ${next}`)
              await bob.hears(`After: ${next}`)
              // The page still shows the message it had received, so its state has survived as
              // well.
              await ada.shows('You', `Before: ${next}`)
              assert.ok(ada.sockets.length === 1 && ada.sockets[0] === socket)
              assert.ok(ada.webSockets(edition.hmr).includes(hmr))
              break
            }
            assert.equal(stayed, true, 'without a reload')
          })
        })
      })
    }
  })
}

async function edit(path, before, after) {
  const source = await readFile(path, 'utf8')
  assert.ok(source.includes(before))
  await writeFile(path, source.replace(before, after))
}
