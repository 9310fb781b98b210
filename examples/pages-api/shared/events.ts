/** The events between client and server. This file types both sides. */

export interface Message {
  /** The id of the socket that has sent the message; `undefined` for an announcement of the app. */
  author?: string
  text: string
}

export interface ClientToServer {
  say(text: string): void
}

export interface ServerToClient {
  message(message: Message): void
  /** The number of connected pages. */
  people(count: number): void
}
