/** The events between client and server. This file types both sides. */

/** Sent by the client in the handshake (`io({ auth })`). */
export interface Auth {
  /** Secret of a browser tab, so that it is the same member after a reload or a reconnect. */
  key: string
}

export interface Member {
  /** Public. The server derives it from the key of the tab. */
  id: string
  name: string
}

export interface Text {
  type: 'text'
  text: string
}

export interface Image {
  type: 'image'
  fileName: string
  mediaType: string
  /** An ArrayBuffer in the browser, a Buffer on the server. */
  data: ArrayBuffer | Uint8Array<ArrayBuffer>
}

export type Body = Text | Image

export interface Message {
  /** Chosen by the author's client, so that a message that is sent again is not added twice. */
  id: string
  room: string
  author: Member
  /** Set by the server, strictly increasing within a room. */
  at: number
  body: Body
}

export interface JoinRequest {
  room: string
  name: string
}

export interface SendRequest {
  id: string
  room: string
  body: Body
}

/** The recent messages of the room, and the member that the server has made of this client. */
export interface Joined {
  me: Member
  messages: Message[]
}

export interface Sent {
  at: number
}

export type Reply<Value> = ({ ok: true } & Value) | { ok: false; reason: string }

export interface ClientToServer {
  /** Enters a room and leaves the previous one. */
  join(request: JoinRequest, reply: (reply: Reply<Joined>) => void): void
  send(request: SendRequest, reply: (reply: Reply<Sent>) => void): void
}

export interface ServerToClient {
  message(message: Message): void
  members(update: { room: string; members: Member[] }): void
}
