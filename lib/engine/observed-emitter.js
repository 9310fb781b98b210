'use strict'

const { EventEmitter } = require('node:events')

/** An emitter that learns of new listeners: some events are only made when something listens for them. */
class ObservedEmitter extends EventEmitter {
  /** Called before a listener is added. */
  _observe(_event) {}

  on(event, listener) {
    this._observe(event)
    return super.on(event, listener)
  }

  addListener(event, listener) {
    return this.on(event, listener)
  }

  prependListener(event, listener) {
    this._observe(event)
    return super.prependListener(event, listener)
  }
}

module.exports = { ObservedEmitter }
