'use strict'

const { unsupported } = require('../errors')

/** Has the members that apps read from engine.io's `engine.ws`. Made when an app reads it. */
class WebSocketServerFacade {
  constructor({ perMessageDeflate, maxHttpBufferSize }) {
    this.options = Object.freeze({
      noServer: true,
      clientTracking: false,
      perMessageDeflate,
      maxPayload: maxHttpBufferSize,
    })
  }

  /** Does nothing: `engine.close()` closes the WebSockets. */
  close(callback) {
    if (typeof callback === 'function') process.nextTick(callback)
  }

  handleUpgrade() {
    throw unsupported('engine.ws.handleUpgrade()', `${NATIVE}; use engine.handleUpgrade()`)
  }

  on(event) {
    throw unsupported(`a listener for ${event} on engine.ws`, `${NATIVE}; use engine.on()`)
  }
}

const NATIVE = 'WebSockets are handled in native code'

module.exports = { WebSocketServerFacade }
