// The example chat with `--dev`: Socket.IO and hot reloading share one server.

import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { launchBrowser, skip } from './browser.mjs'
import { chatFolder, isSource, repository, startChat } from './chat-app.mjs'
import { ChatPage } from './chat-page.mjs'

const hmrPath = '/_next/hmr'

describe('chat in development', { skip }, () => {
  let browser
  let folder
  let app

  before(
    async () => {
      // A copy, because the test edits it, in a folder that git ignores and that finds
      // node_modules.
      await mkdir(join(repository, 'target'), { recursive: true })
      folder = await mkdtemp(join(repository, 'target', 'chat-dev-'))
      await cp(chatFolder, folder, { recursive: true, filter: (path) => isSource(basename(path)) })
      browser = await launchBrowser()
      app = await startChat({ folder, dev: true })
    },
    { timeout: 120_000 },
  )

  after(async () => {
    await browser?.close()
    await app?.stop()
    if (folder) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })

  test('an edit is applied while both WebSockets stay open', { timeout: 300_000 }, async (t) => {
    try {
      const ada = await ChatPage.open(t, browser, app, 'Ada')
      const bob = await ChatPage.open(t, browser, app, 'Bob')
      await ada.transport('websocket')
      await ada.say('Hello from dev')
      await bob.hears('Hello from dev', ada)

      const [hmr, ...moreHmr] = ada.openWebSockets(hmrPath)
      const [socket, ...moreSockets] = ada.openWebSockets('/socket.io/')
      assert.ok(hmr && socket)
      assert.deepEqual([...moreHmr, ...moreSockets], [])

      await ada.page.evaluate(() => (window.loadedOnce = true))
      await edit(join(folder, 'app', 'page.tsx'), 'Upwire Chat', 'Edited Chat')
      await ada.page.getByTestId('title').filter({ hasText: 'Edited Chat' }).waitFor()
      assert.equal(await ada.page.evaluate(() => window.loadedOnce), true, 'without a reload')

      await ada.say('After the edit')
      await bob.hears('After the edit', ada)
      assert.deepEqual(ada.openWebSockets(hmrPath), [hmr])
      assert.deepEqual(ada.openWebSockets('/socket.io/'), [socket])
      assert.deepEqual(await ada.shownTransports(), ['polling', 'websocket'])
      assert.deepEqual([...ada.errors, ...bob.errors], [])
    } catch (error) {
      t.diagnostic(`server.js printed:\n${app.output}`)
      throw error
    }
  })
})

async function edit(path, before, after) {
  const source = await readFile(path, 'utf8')
  assert.ok(source.includes(before))
  await writeFile(path, source.replace(before, after))
}
