'use strict'

/**
 * The chat: plain Socket.IO handlers that depend on neither upwire nor Next.js.
 *
 * @import { Server, Socket } from 'socket.io'
 * @import { ClientToServer, Member, Message, Reply, ServerToClient } from '../shared/events'
 *
 * @typedef {{ id: string, room?: string, member?: Member }} Session
 * @typedef {Server<ClientToServer, ServerToClient, {}, Session>} ChatServer
 * @typedef {Socket<ClientToServer, ServerToClient, {}, Session>} ChatSocket
 */

const { createHash } = require('node:crypto')
const { rooms } = require('../shared/settings.json')
const { History } = require('./history')
const { Refusal, parseJoin, parseSend } = require('./requests')

/** @param {ChatServer} io */
function registerChat(io) {
  const histories = new Map(rooms.map(({ id }) => [id, new History()]))

  io.on('connection', (socket) => {
    socket.data.id = memberId(socket)

    socket.on('join', (request, reply) =>
      answer(reply, () => {
        const { room, name } = parseJoin(request)
        const before = socket.data.room
        const me = { id: socket.data.id, name }
        socket.data.member = me
        socket.data.room = room
        if (before && before !== room) {
          socket.leave(before)
          announceMembers(before)
        }
        socket.join(room)
        announceMembers(room)
        return { me, messages: [...history(room).messages] }
      }),
    )

    socket.on('send', (request, reply) =>
      answer(reply, () => {
        const { id, room, body } = parseSend(request)
        const author = socket.data.member
        if (!author || socket.data.room !== room) throw new Refusal('Join the room first.')

        const known = history(room).find(id)
        if (known && known.author.id !== author.id) throw new Refusal('This id is taken.')
        // The client sends a message again if the connection was lost before our reply arrived.
        if (known) return { at: known.at }

        const message = history(room).add({ id, room, author, body })
        socket.to(room).emit('message', message)
        return { at: message.at }
      }),
    )

    socket.on('disconnect', () => {
      if (socket.data.room) announceMembers(socket.data.room)
    })
  })

  /** @param {string} room */
  function history(room) {
    return /** @type {History} */ (histories.get(room))
  }

  /** A member with two connections (a second tab, a reconnect in progress) is listed once.
   *  @param {string} room */
  function announceMembers(room) {
    /** @type {Map<string, Member>} */
    const members = new Map()
    for (const socketId of io.of('/').adapter.rooms.get(room) ?? []) {
      const member = io.of('/').sockets.get(socketId)?.data.member
      if (member) members.set(member.id, member)
    }
    io.to(room).emit('members', { room, members: [...members.values()] })
  }
}

/** Other clients see only the hash, so they cannot impersonate a member whose messages they read.
 *  @param {ChatSocket} socket */
function memberId(socket) {
  const { key } = socket.handshake.auth
  const secret = typeof key === 'string' && key.length <= 64 ? key : socket.id
  return createHash('sha256').update(secret).digest('hex').slice(0, 16)
}

/** A client may omit the acknowledgement, or send any other value in its place.
 *  @template {object} Value
 *  @param {(reply: Reply<Value>) => void} reply
 *  @param {() => Value} handler */
function answer(reply, handler) {
  const send = typeof reply === 'function' ? reply : () => {}
  try {
    send({ ok: true, ...handler() })
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    send({ ok: false, reason: error.message })
  }
}

module.exports = { registerChat }
