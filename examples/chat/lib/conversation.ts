import type { Body, Member, Message } from '@/shared/events'
import { randomId } from './random-id'
import { Store } from './store'
import type { ChatSocket } from './use-socket'

const KEPT_MESSAGES = 200

/** A message of this tab that the server has not confirmed yet. */
export interface Draft {
  id: string
  room: string
  at: number
  body: Body
  /** `pending`: being sent. `unsent`: no connection, or no reply. `refused`: by the server. */
  state: 'pending' | 'unsent' | 'refused'
  reason?: string
}

export interface RoomView {
  messages: readonly Message[]
  members: readonly Member[]
}

export interface ConversationState {
  room: string
  joined: boolean
  /** The reason for which the server has refused to let this tab enter the room. */
  refusal: string | undefined
  me: Member | undefined
  rooms: Readonly<Record<string, RoomView>>
  drafts: readonly Draft[]
}

const emptyRoom: RoomView = { messages: [], members: [] }

export const roomView = ({ rooms }: ConversationState, room: string) => rooms[room] ?? emptyRoom

/**
 * The rooms as this tab knows them. After every connect, the first one and later ones, it joins the current
 * room, adds the messages that it has missed, and sends the messages that it could not send before.
 */
export class Conversation extends Store<ConversationState> {
  readonly #socket: ChatSocket
  readonly #name: string

  constructor(socket: ChatSocket, name: string, room: string) {
    super({ room, joined: false, refusal: undefined, me: undefined, rooms: {}, drafts: [] })
    this.#socket = socket
    this.#name = name
  }

  open() {
    const socket = this.#socket
    socket.on('connect', this.#join)
    socket.on('disconnect', this.#onDisconnect)
    socket.on('message', this.#onMessage)
    socket.on('members', this.#onMembers)
    if (socket.connected) void this.#join()
    return () => {
      socket.off('connect', this.#join)
      socket.off('disconnect', this.#onDisconnect)
      socket.off('message', this.#onMessage)
      socket.off('members', this.#onMembers)
    }
  }

  enter(room: string) {
    if (room === this.getState().room) return
    this.update({ room, joined: false, refusal: undefined })
    if (this.#socket.connected) void this.#join()
  }

  send(body: Body) {
    const { room, joined, drafts } = this.getState()
    const draft: Draft = { id: randomId(), room, at: Date.now(), body, state: 'unsent' }
    this.update({ drafts: [...drafts, draft] })
    if (joined) void this.#transmit(draft)
  }

  retry(draft: Draft) {
    if (this.getState().joined) void this.#transmit(draft)
  }

  discard({ id }: Draft) {
    this.update({ drafts: this.getState().drafts.filter((draft) => draft.id !== id) })
  }

  readonly #join = async () => {
    const { room } = this.getState()
    const reply = await this.#socket
      .emitWithAck('join', { room, name: this.#name })
      .catch(() => undefined)
    // The user has entered another room before the reply arrived, which has its own join.
    if (room !== this.getState().room) return
    if (!reply) {
      // Without a connection, the next 'connect' event calls this method again.
      if (this.#socket.connected) void this.#join()
      return
    }
    if (!reply.ok) return this.update({ refusal: reply.reason })

    const known = new Set(reply.messages.map(({ id }) => id))
    const drafts = this.getState().drafts.filter(({ id }) => !known.has(id))
    this.update({ joined: true, me: reply.me, drafts })
    this.#addMessages(room, reply.messages)
    for (const draft of drafts) {
      if (draft.room === room && draft.state === 'unsent') void this.#transmit(draft)
    }
  }

  async #transmit({ id, room, body }: Draft) {
    this.#changeDraft(id, { state: 'pending', reason: undefined })
    const reply = await this.#socket.emitWithAck('send', { id, room, body }).catch(() => undefined)

    const { me } = this.getState()
    if (!reply || !me) return this.#changeDraft(id, { state: 'unsent' })
    if (!reply.ok) return this.#changeDraft(id, { state: 'refused', reason: reply.reason })
    this.update({ drafts: this.getState().drafts.filter((draft) => draft.id !== id) })
    this.#addMessages(room, [{ id, room, author: me, at: reply.at, body }])
  }

  readonly #onDisconnect = () => {
    this.update({ joined: false })
  }

  readonly #onMessage = (message: Message) => {
    this.#addMessages(message.room, [message])
  }

  readonly #onMembers = ({ room, members }: { room: string; members: Member[] }) => {
    this.#changeRoom(room, { members: members.sort((a, b) => a.name.localeCompare(b.name)) })
  }

  /** The first message with an id stays, so a client cannot replace one by sending its id again. */
  #addMessages(room: string, added: readonly Message[]) {
    const { messages } = roomView(this.getState(), room)
    const known = new Set(messages.map(({ id }) => id))
    const merged = [...messages, ...added.filter(({ id }) => !known.has(id))]
    merged.sort((a, b) => a.at - b.at)
    this.#changeRoom(room, { messages: merged.slice(-KEPT_MESSAGES) })
  }

  #changeRoom(room: string, change: Partial<RoomView>) {
    const { rooms } = this.getState()
    this.update({ rooms: { ...rooms, [room]: { ...roomView(this.getState(), room), ...change } } })
  }

  #changeDraft(id: string, change: Partial<Draft>) {
    const { drafts } = this.getState()
    this.update({
      drafts: drafts.map((draft) => (draft.id === id ? { ...draft, ...change } : draft)),
    })
  }
}
