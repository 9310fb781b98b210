// The checks of chaos and soak notice the errors that they are made to find.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, test } from 'node:test'
import { Pool, Receiver, Sender, decode, encode } from '../../reliability/chaos/messages.mjs'
import { EnginePeer } from '../../reliability/chaos/peer.mjs'
import { Random } from '../../reliability/chaos/random.mjs'
import { slope } from '../../reliability/soak/slope.mjs'

const pool = new Pool(new Random(7, 'pool'))

function messages(count) {
  const sender = new Sender(new Random(7, 'sender'), pool)
  return Array.from({ length: count }, () => decode(encode(sender.next())))
}

function complaintsOf(all) {
  const receiver = new Receiver()
  return all.map((message) => receiver.check(message)).filter((complaint) => complaint !== null)
}

describe('chaos', () => {
  test('the same seed makes the same choices, and another seed makes others', () => {
    const choices = (seed) => {
      const random = new Random(seed, 'choices')
      return Array.from({ length: 20 }, () => random.between(0, 1000))
    }
    assert.deepEqual(choices(1), choices(1))
    assert.notDeepEqual(choices(1), choices(2))
  })

  test('messages in order pass', () => {
    assert.deepEqual(complaintsOf(messages(500)), [])
  })

  test('a missing message is noticed', () => {
    assert.match(complaintsOf(messages(9).toSpliced(4, 1)).join(), /number 5 came where 4 was due/)
  })

  test('a repeated message is noticed', () => {
    const all = messages(9)
    assert.deepEqual(complaintsOf(all.toSpliced(4, 0, all[3])), ['number 3 came where 4 was due'])
  })

  test('a changed payload is noticed', () => {
    for (const payload of ['text', Buffer.from('bytes'), Buffer.alloc(0)]) {
      const [message] = messages(1)
      assert.match(complaintsOf([{ ...message, payload }]).join(), /number 0 is damaged/)
    }
  })

  test('the payload of another message is noticed', () => {
    const [first, second] = messages(2)
    assert.match(complaintsOf([{ ...first, payload: second.payload }]).join(), /damaged/)
  })

  test('counters that disagree, a second end, and a message after the end are noticed', () => {
    const complaints = []
    const socket = new EventEmitter()
    socket.send = () => {}
    const peer = new EnginePeer(socket, new Random(7), pool, (text) => complaints.push(text))
    peer.send()
    void peer.sync()
    socket.emit('message', '!{"sent":2,"received":0}')
    assert.deepEqual(complaints.splice(0), [
      'the other side has 0 of 1 messages',
      '0 of 2 messages of the other side are here',
    ])
    socket.emit('close')
    socket.emit('close')
    socket.emit('message', encode({ ...messages(1)[0] }))
    assert.deepEqual(complaints, ['ended twice', 'number 0 came after the end'])
  })
})

test('soak: the slope is that of the line through the points', () => {
  const points = Array.from({ length: 100 }, (_, hour) => [hour, 50 + 3 * hour + (hour % 2)])
  assert.ok(Math.abs(slope(points) - 3) < 0.01)
})
