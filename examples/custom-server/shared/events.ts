/** What client and server say to each other. Both sides are typed with this file. */

export interface Message {
  /** The id of the socket that has sent it; nobody's when the app itself speaks. */
  author?: string
  text: string
}

export interface ClientToServer {
  say(text: string): void
}

export interface ServerToClient {
  message(message: Message): void
  /** How many pages are connected. */
  people(count: number): void
}
