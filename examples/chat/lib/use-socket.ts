import { useEffect, useState } from 'react'
import { io, type Socket } from 'socket.io-client'
import type { Auth, ClientToServer, ServerToClient } from '@/shared/events'
import { Store, useStore } from './store'

export type ChatSocket = Socket<ServerToClient, ClientToServer>

export interface Connection {
  status: 'connecting' | 'connected' | 'reconnecting'
  /** The transports of this connection, in order; the last one is in use. */
  transports: readonly string[]
}

/** The official client, and its state for React. It does nothing before `open()`. */
class SocketStore extends Store<Connection> {
  readonly socket: ChatSocket

  constructor(auth: Auth) {
    super({ status: 'connecting', transports: [] })
    this.socket = io({
      // `emitWithAck()` rejects after this time, and when the connection is lost.
      ackTimeout: 10_000,
      auth,
      autoConnect: false,
      // Each hook has its own connection. By default, two sockets with the same URL share one.
      forceNew: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 2000,
    })
    this.socket.on('connect', () => this.update({ status: 'connected' }))
    this.socket.on('disconnect', (reason) => {
      this.update({ status: 'reconnecting', transports: [] })
      // After this reason, and no other, the client does not reconnect by itself.
      if (reason === 'io server disconnect') this.socket.connect()
    })
    this.socket.io.on('open', () => {
      const { engine } = this.socket.io
      this.update({ transports: [engine.transport.name] })
      engine.on('upgrade', ({ name }) => {
        this.update({ transports: [...this.getState().transports, name] })
      })
    })
  }

  open() {
    this.socket.connect()
    return () => {
      this.socket.disconnect()
    }
  }
}

/**
 * Connects while the component is mounted. React's Strict Mode mounts a component, unmounts it and mounts
 * it again, and may make a socket that it never uses. So a socket is made without a connection, and the
 * effect connects it.
 */
export function useSocket(auth: Auth): Connection & { socket: ChatSocket } {
  const [store] = useState(() => new SocketStore(auth))
  useEffect(() => store.open(), [store])
  return { socket: store.socket, ...useStore(store) }
}
