// One visitor of the chat: a browser context of its own, with the actions of a person on the page.

import assert from 'node:assert/strict'

export class ChatPage {
  /**
   * Errors that the page threw or wrote with console.error; in development also React's complaints.
   */
  errors = []
  /** The open WebSockets. */
  webSockets = new Set()
  /** Text frames that the page has received, on all WebSockets. */
  frames = []

  /** Opens the page and joins under the given name; closed after the test `t`. */
  static async open(t, browser, app, name) {
    const context = await browser.newContext()
    t.after(() => context.close())
    // A loaded machine takes its time to compile and to render; a failure is still reported.
    context.setDefaultTimeout(60_000)
    const chat = new ChatPage(await context.newPage(), name)
    await chat.page.addInitScript(recordWhatIsShown)
    // The dev server compiles at the first request.
    await chat.page.goto(app.url, { timeout: 120_000 })
    await chat.page.getByLabel('Your name').fill(name)
    await chat.page.getByRole('button', { name: 'Join the chat' }).click()
    await chat.joined()
    return chat
  }

  constructor(page, name) {
    this.page = page
    this.name = name
    page.on('pageerror', (error) => this.errors.push(String(error)))
    page.on('console', (message) => {
      // Chromium reports each attempt to reach a server that is down, as some tests make it.
      if (message.text().includes('net::ERR_')) return
      if (message.type() === 'error') this.errors.push(message.text())
    })
    page.on('websocket', (webSocket) => {
      this.webSockets.add(webSocket)
      webSocket.on('framereceived', ({ payload }) => this.frames.push(String(payload)))
      webSocket.on('close', () => this.webSockets.delete(webSocket))
    })
  }

  joined() {
    return this.page.locator('[data-testid=room][data-joined=true]').waitFor()
  }

  status(status) {
    return this.page.locator(`[data-testid=status][data-status=${status}]`).waitFor()
  }

  transport(name) {
    return this.page.getByTestId('transport').filter({ hasText: name }).waitFor()
  }

  openWebSockets(path) {
    return [...this.webSockets].filter((webSocket) =>
      new URL(webSocket.url()).pathname.startsWith(path),
    )
  }

  async enter(room) {
    await this.page.getByRole('navigation', { name: 'Rooms' }).getByText(room).click()
    await this.page.locator(`[data-testid=room][data-room=${room}][data-joined=true]`).waitFor()
  }

  async write(text) {
    const input = this.page.getByRole('textbox', { name: /^Message to/ })
    await input.fill(text)
    await input.press('Enter')
  }

  /** Writes a message and waits for its tick. */
  async say(text) {
    await this.write(text)
    await this.sent(text, 'delivered')
  }

  sent(text, state) {
    return this.#message(text)
      .and(this.page.locator('[data-mine=true]'))
      .getByTestId('tick')
      .and(this.page.locator(`[data-state=${state}]`))
      .waitFor()
  }

  async hears(text, author) {
    const message = this.#message(text).and(this.page.locator('[data-mine=false]'))
    await message.waitFor()
    assert.equal(await message.getByTestId('author').textContent(), author.name)
  }

  texts() {
    return this.page.getByTestId('text').allTextContents()
  }

  sendImage(name, mimeType, buffer) {
    return this.page.getByLabel('Send an image').setInputFiles({ name, mimeType, buffer })
  }

  /** The bytes of the image as this page shows it. */
  async imageBytes(name) {
    const image = this.page.getByRole('img', { name, exact: true })
    await image.waitFor()
    const base64 = await image.evaluate(async (element) => {
      await element.decode()
      const blob = await (await fetch(element.src)).blob()
      return new Promise((resolve) => {
        const reader = new FileReader()
        reader.onload = () => resolve(reader.result.split(',')[1])
        reader.readAsDataURL(blob)
      })
    })
    return Buffer.from(base64, 'base64')
  }

  /** Waits until exactly these visitors are listed as online, in any order. */
  online(...visitors) {
    const names = visitors.map(({ name }) => name).sort()
    return this.page.waitForFunction((expected) => {
      const listed = [...document.querySelectorAll('[data-testid=member]')]
      return JSON.stringify(listed.map((item) => item.textContent).sort()) === expected
    }, JSON.stringify(names))
  }

  /** Every transport that the page has shown since it was loaded, in order. */
  shownTransports() {
    return this.page.evaluate(() => window.shown.transports)
  }

  /** Every state that the tick of one of this visitor's messages has shown. */
  shownTicks(text) {
    return this.page.evaluate((key) => window.shown.ticks[key], text)
  }

  #message(text) {
    return this.page
      .getByTestId('message')
      .filter({ has: this.page.getByTestId('text').getByText(text, { exact: true }) })
  }
}

/** Runs in the page before anything else: some states are shown only for milliseconds. */
function recordWhatIsShown() {
  window.shown = { transports: [], ticks: {} }
  const { transports, ticks } = window.shown
  const push = (list, value) => value && list.at(-1) !== value && list.push(value)
  const look = () => {
    push(transports, document.querySelector('[data-testid=transport]')?.textContent)
    for (const item of document.querySelectorAll('[data-testid=message][data-mine=true]')) {
      const text = item.querySelector('[data-testid=text]')?.textContent
      if (text) push((ticks[text] ??= []), item.dataset.state)
    }
  }
  new MutationObserver(look).observe(document, {
    attributes: true,
    characterData: true,
    childList: true,
    subtree: true,
  })
}
