// Plain HTTP and upgrade requests with Node's client, for what the official clients do not show.

import http from 'node:http'
import { within } from './events.mjs'
import { UPGRADE, request } from './requests.mjs'

/** The parts of an answer that tests look at. */
function answerOf({ statusCode, headers, rawHeaders }, text) {
  return { status: statusCode, headers, rawHeaders, text }
}

/** Reads an answer to its end. */
function readAnswer(res) {
  return new Promise((resolve, reject) => {
    const chunks = []
    res.on('data', (chunk) => chunks.push(chunk))
    res.on('end', () => resolve(answerOf(res, Buffer.concat(chunks).toString())))
    res.on('error', reject)
  })
}

/** An HTTP request; resolves with its whole answer. */
export function fetchText(url, { method = 'GET', headers = {}, body, agent = false } = {}) {
  const answer = new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers, agent }, (res) => resolve(readAnswer(res)))
    req.on('error', reject)
    req.end(body)
  })
  return within(answer, `an answer to ${method} ${url}`)
}

/** A polling handshake; returns the fields of the open packet. */
export async function openPolling(url, path = '/socket.io/', query = '', headers = {}) {
  const { status, text } = await fetchText(`${url}${path}?EIO=4&transport=polling${query}`, {
    headers,
  })
  if (status !== 200) throw new Error(`handshake: ${status} ${text}`)
  return JSON.parse(text.slice(1))
}

/** The text of a handshake request, to be written to a bare connection. */
export function handshakeText(transport, { path = '/socket.io/', query = '', headers = '' } = {}) {
  const upgrading = transport === 'websocket' ? UPGRADE : {}
  const target = `${path}?EIO=4&transport=${transport}${query}`
  const text = request(`GET ${target}`, { ...upgrading, Host: 'test' }).toString('latin1')
  return `${text.slice(0, -2)}${headers}\r\n`
}

/** An upgrade request; resolves with the answer, refused or not. An accepted connection is closed. */
export function upgrade(url, { path, headers = {} } = {}) {
  const answer = new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const { Host: _, ...upgrading } = UPGRADE
    const req = http.request({
      hostname,
      port,
      path: path ?? '/socket.io/?EIO=4&transport=websocket',
      agent: false,
      headers: { ...upgrading, ...headers },
    })
    req.on('upgrade', (res, socket) => {
      socket.on('error', () => {})
      socket.destroy()
      resolve(answerOf(res, ''))
    })
    req.on('response', (res) => resolve(readAnswer(res)))
    req.on('error', reject)
    req.end()
  })
  return within(answer, 'an answer to an upgrade')
}
