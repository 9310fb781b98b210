// Plain HTTP and upgrade requests, for what the official clients do not show.

import http from 'node:http'
import { within } from './events.mjs'

/** An HTTP request with its whole answer. */
export function fetchText(url, { method = 'GET', headers = {}, body, agent = false } = {}) {
  const answer = new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers, agent }, (res) => {
      const chunks = []
      res.on('data', (chunk) => chunks.push(chunk))
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: res.statusCode, headers: res.headers, rawHeaders: res.rawHeaders, text })
      })
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end(body)
  })
  return within(answer, `an answer to ${method} ${url}`)
}

/** A polling handshake by hand: the fields of the open packet. */
export async function openPolling(url, path = '/socket.io/', query = '', headers = {}) {
  const { status, text } = await fetchText(`${url}${path}?EIO=4&transport=polling${query}`, {
    headers,
  })
  if (status !== 200) throw new Error(`handshake: ${status} ${text}`)
  return JSON.parse(text.slice(1))
}

/** The bytes of a handshake request, for a bare TCP connection. */
export function handshakeText(transport, { path = '/socket.io/', query = '', headers = '' } = {}) {
  const upgrading =
    transport === 'websocket'
      ? 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
      : ''
  return `GET ${path}?EIO=4&transport=${transport}${query} HTTP/1.1\r\nHost: test\r\n${upgrading}${headers}\r\n`
}

/**
 * An upgrade request: resolves with the answer, refused or not. An accepted one is ended.
 */
export function upgrade(url, { path, headers = {} } = {}) {
  const answer = new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const req = http.request({
      hostname,
      port,
      path: path ?? '/socket.io/?EIO=4&transport=websocket',
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    })
    req.on('upgrade', (res, socket) => {
      socket.on('error', () => {})
      socket.destroy()
      resolve({
        status: res.statusCode,
        headers: res.headers,
        rawHeaders: res.rawHeaders,
        text: '',
      })
    })
    req.on('response', (res) => {
      const chunks = []
      res.on('data', (chunk) => chunks.push(chunk))
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: res.statusCode, headers: res.headers, rawHeaders: res.rawHeaders, text })
      })
    })
    req.on('error', reject)
    req.end()
  })
  return within(answer, 'an answer to an upgrade')
}
