import { useEffect, useState } from 'react'
import { io, type Socket } from 'socket.io-client'
import type { Auth, ClientToServer, ServerToClient } from '@/shared/events'
import { Store, useStore } from './store'

export type ChatSocket = Socket<ServerToClient, ClientToServer>

export interface Connection {
  status: 'connecting' | 'connected' | 'reconnecting'
  /** The transports of this connection in their order; the last one is in use. */
  transports: readonly string[]
}

/** The official client with what React has to know about it. Does nothing before `open()`. */
class SocketStore extends Store<Connection> {
  readonly socket: ChatSocket

  constructor(auth: Auth) {
    super({ status: 'connecting', transports: [] })
    this.socket = io({
      // After it, and when the connection is lost, `emitWithAck()` rejects.
      ackTimeout: 10_000,
      auth,
      autoConnect: false,
      // Every hook owns its connection; else two calls with one address would share it.
      forceNew: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 2000,
    })
    this.socket.on('connect', () => this.update({ status: 'connected' }))
    this.socket.on('disconnect', (reason) => {
      this.update({ status: 'reconnecting', transports: [] })
      // Only after this one does the client not come back by itself.
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
 * Connects while the component is mounted. Strict Mode mounts, unmounts and mounts again:
 * the socket is made without a connection, so what is thrown away was never open.
 */
export function useSocket(auth: Auth): Connection & { socket: ChatSocket } {
  const [store] = useState(() => new SocketStore(auth))
  useEffect(() => store.open(), [store])
  return { socket: store.socket, ...useStore(store) }
}
