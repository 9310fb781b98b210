'use strict'

/**
 * A client may send any data. This module turns it into a request, or throws a Refusal with a text for
 * the author of the message.
 *
 * @import { Body, JoinRequest, SendRequest } from '../shared/events'
 */

const { imageTypes, limits, rooms } = require('../shared/settings.json')

class Refusal extends Error {}

/** @param {unknown} value @returns {JoinRequest} */
function parseJoin(value) {
  const { room, name } = fields(value)
  return { room: parseRoom(room), name: parseLine(name, limits.nameLength, 'A name') }
}

/** @param {unknown} value @returns {SendRequest} */
function parseSend(value) {
  const { id, room, body } = fields(value)
  return { id: parseLine(id, 64, 'A message id'), room: parseRoom(room), body: parseBody(body) }
}

/** @param {unknown} value @returns {Body} */
function parseBody(value) {
  const { type, text, fileName, mediaType, data } = fields(value)
  if (type === 'text') return { type, text: parseText(text, limits.textLength, 'A message') }
  if (type !== 'image') throw new Refusal('A message is a text or an image.')

  if (typeof mediaType !== 'string' || !imageTypes.includes(mediaType)) {
    throw new Refusal('Images of this type are not accepted.')
  }
  if (!Buffer.isBuffer(data) || data.length === 0 || data.length > limits.imageBytes) {
    throw new Refusal(`An image has 1 to ${limits.imageBytes} bytes.`)
  }
  return {
    type,
    fileName: parseLine(fileName, limits.fileNameLength, 'A file name'),
    mediaType,
    data: /** @type {Buffer<ArrayBuffer>} */ (data),
  }
}

/** The list of rooms is fixed, so that clients cannot make the server keep an unlimited number.
 *  @param {unknown} value */
function parseRoom(value) {
  const room = rooms.find(({ id }) => id === value)
  if (!room) throw new Refusal('There is no such room.')
  return room.id
}

/** @param {unknown} value @param {number} max @param {string} what */
function parseText(value, max, what) {
  const text = typeof value === 'string' ? value.trim() : ''
  if (text.length < 1 || text.length > max) {
    throw new Refusal(`${what} has 1 to ${max} characters.`)
  }
  return text
}

/** @param {unknown} value @param {number} max @param {string} what */
function parseLine(value, max, what) {
  const line = parseText(value, max, what)
  if (/\p{Cc}/u.test(line)) throw new Refusal(`${what} is one line of text.`)
  return line
}

/** @param {unknown} value @returns {Record<string, unknown>} */
function fields(value) {
  if (typeof value !== 'object' || value === null) throw new Refusal('Malformed request.')
  return /** @type {Record<string, unknown>} */ (value)
}

module.exports = { Refusal, parseJoin, parseSend }
