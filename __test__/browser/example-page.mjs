// One visitor of a small example: a browser context of its own, with the actions of a person on the
// page.

export class ExamplePage {
  /**
   * Errors that the page threw or wrote with console.error; in development also React's complaints.
   */
  errors = []
  /** Set while the server may be down or unable to answer; the page then reconnects. */
  serverRestarts = false
  #example
  #webSockets = new Set()

  /** Opens the page and waits for WebSocket; closed after the test `t`. */
  static async open(t, browser, app) {
    const context = await browser.newContext()
    t.after(() => context.close())
    // A loaded machine takes its time to compile and to render; a failure is still reported.
    context.setDefaultTimeout(60_000)
    const visitor = new ExamplePage(await context.newPage(), app.example)
    // The dev server compiles at the first request.
    await visitor.page.goto(app.url, { timeout: 120_000 })
    await visitor.transport('websocket')
    return visitor
  }

  constructor(page, example) {
    this.page = page
    this.#example = example
    page.on('pageerror', (error) => this.errors.push(String(error)))
    page.on('console', (message) => {
      const text = message.text()
      if (this.serverRestarts && /^Failed to load resource|net::ERR_/.test(text)) return
      if (message.type() === 'error') this.errors.push(text)
    })
    page.on('websocket', (webSocket) => {
      this.#webSockets.add(webSocket)
      webSocket.on('close', () => this.#webSockets.delete(webSocket))
    })
  }

  async reload() {
    await this.page.reload({ waitUntil: 'commit' })
    // Chromium does not report that the WebSockets of the previous page have closed.
    this.#webSockets.clear()
    await this.transport('websocket')
  }

  /** The open WebSockets of Socket.IO. */
  get sockets() {
    return this.webSockets(this.#example.path)
  }

  webSockets(path) {
    return [...this.#webSockets].filter((webSocket) =>
      new URL(webSocket.url()).pathname.startsWith(path),
    )
  }

  title(title) {
    return this.page.getByRole('heading', { name: title, exact: true }).waitFor()
  }

  status(status) {
    return this.page.locator(`[data-testid=status][data-status=${status}]`).waitFor()
  }

  transport(name) {
    return this.page.getByTestId('transport').getByText(name, { exact: true }).waitFor()
  }

  people(count) {
    const text = count === 1 ? 'only you' : `${count} people`
    return this.page.getByTestId('people').getByText(text, { exact: true }).waitFor()
  }

  /** Sends a message and waits until the server has sent it to all pages. */
  async say(text) {
    await this.page.getByRole('textbox', { name: 'Message', exact: true }).fill(text)
    await this.page.getByRole('button', { name: 'Send', exact: true }).click()
    await this.shows('You', text)
  }

  hears(text) {
    return this.shows(/^Visitor /, text)
  }

  async announce(text) {
    await this.page.getByRole('textbox', { name: 'Announcement', exact: true }).fill(text)
    await this.page.getByRole('button', { name: 'Announce', exact: true }).click()
  }

  hearsAnnouncement(text) {
    return this.shows('Server', text)
  }

  shows(author, text) {
    return this.page
      .getByRole('log')
      .getByRole('listitem')
      .filter({ has: this.page.getByText(author, { exact: true }) })
      .filter({ has: this.page.getByText(text, { exact: true }) })
      .waitFor()
  }
}
