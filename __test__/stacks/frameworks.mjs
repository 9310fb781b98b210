// upwire beside web frameworks, each with its real package.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { serve as serveHono } from '@hono/node-server'
import crossws from 'crossws/adapters/node'
import express from 'express'
import session from 'express-session'
import Fastify from 'fastify'
import { H3, toNodeHandler } from 'h3'
import helmet from 'helmet'
import { Hono } from 'hono'
import Koa from 'koa'
import passport from 'passport'
import { Strategy } from 'passport-custom'
import { attach } from '../../index.js'
import { WebSocket, WebSocketServer } from 'ws'
import { connect } from '../support/clients.mjs'
import { event } from '../support/events.mjs'
import { listen, shut } from '../support/servers.mjs'
import { works } from './support.mjs'

/** A server that closes after the test. */
async function open(t, server, io) {
  const port = await listen(server)
  t.after(async () => {
    await io.close()
    await shut(server)
  })
  return `http://127.0.0.1:${port}`
}

/** Has a WebSocket server that is not upwire's echo a message. */
async function echoes(t, url) {
  const socket = new WebSocket(url.replace('http', 'ws'))
  t.after(() => socket.terminate())
  await event(socket, 'open')
  socket.send('hello')
  const [reply] = await event(socket, 'message')
  assert.equal(String(reply), 'hello')
  socket.terminate()
}

function echoServer(options) {
  const sockets = new WebSocketServer(options)
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  return sockets
}

test('Fastify, on one address and on two', async (t) => {
  for (const host of ['127.0.0.1', 'localhost']) {
    for (const when of ['before', 'after']) {
      const app = Fastify({ forceCloseConnections: true })
      app.get('/page', (_req, reply) => reply.send('page'))
      const io = when === 'before' ? attach(app.server) : undefined
      await app.listen({ host, port: 0 })
      const attached = io ?? attach(app.server)
      for (const { address, family, port } of app.addresses()) {
        const name = family === 'IPv6' ? `[${address}]` : address
        await works(t, attached, `http://${name}:${port}`)
      }
      attached.disconnectSockets(true)
      await app.close()
    }
  }
})

test('Express with express-session, passport and helmet', async (t) => {
  const app = express()
  const sessions = session({ secret: 'x', resave: false, saveUninitialized: true })
  passport.use('header', new Strategy((req, done) => done(null, { name: req.headers['x-user'] })))
  app.use(helmet(), sessions)
  app.get('/page', (_req, res) => res.send('page'))
  const server = createServer(app)
  const io = attach(server)
  io.engine.use(helmet())
  io.engine.use(sessions)
  io.engine.use(passport.initialize())
  io.engine.use(passport.authenticate('header', { session: false }))
  const url = await open(t, server, io)
  await works(t, io, url, { extraHeaders: { 'x-user': 'ann' } })
  for (const transport of ['polling', 'websocket']) {
    const arrival = event(io, 'connection')
    await connect(t, url, { transports: [transport], extraHeaders: { 'x-user': 'ann' } })
    const [{ request }] = await arrival
    assert.equal(request.user.name, 'ann')
    assert.ok(request.session.id)
  }
})

test('Koa', async (t) => {
  const app = new Koa()
  app.use((ctx) => {
    ctx.body = 'page'
  })
  const server = createServer(app.callback())
  const io = attach(server)
  await works(t, io, await open(t, server, io))
})

test('a framework that is added after attach', async (t) => {
  const server = createServer()
  const io = attach(server)
  server.on(
    'request',
    express().get('/page', (_req, res) => res.send('page')),
  )
  await works(t, io, await open(t, server, io))
})

test('Hono', async (t) => {
  const app = new Hono().get('/page', (c) => c.text('page'))
  const server = serveHono({ fetch: app.fetch, port: 0 })
  const io = attach(server)
  t.after(() => io.close())
  await works(t, io, `http://127.0.0.1:${server.address().port}`)
})

test('h3, with crossws beside', async (t) => {
  const app = new H3().get('/page', () => 'page')
  const server = createServer(toNodeHandler(app))
  const ws = crossws({ hooks: { message: (peer, message) => void peer.send(message.text()) } })
  server.on('upgrade', ws.handleUpgrade)
  const io = attach(server)
  const url = await open(t, server, io)
  await works(t, io, url)
  await echoes(t, `${url}/ws`)
  await works(t, io, url)
})

test('ws beside, without a server', async (t) => {
  const server = createServer((_req, res) => res.end('page'))
  const manual = echoServer({ noServer: true })
  const io = attach(server)
  server.on('upgrade', (req, socket, head) => {
    if (req.url !== '/manual') return
    manual.handleUpgrade(req, socket, head, (peer) => manual.emit('connection', peer, req))
  })
  const url = await open(t, server, io)
  await works(t, io, url)
  await echoes(t, `${url}/manual`)
  await works(t, io, url)
})

test('ws beside, with a path', async (t) => {
  const server = createServer((_req, res) => res.end('page'))
  const io = attach(server)
  echoServer({ server, path: '/own' })
  const url = await open(t, server, io)
  await works(t, io, url)
  await echoes(t, `${url}/own`)
  await works(t, io, url)
})
