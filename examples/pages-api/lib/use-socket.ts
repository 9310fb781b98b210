import { useEffect, useState } from 'react'
import { io, type Socket } from 'socket.io-client'
import type { ClientToServer, ServerToClient } from '@/shared/events'

export type AppSocket = Socket<ServerToClient, ClientToServer>

export interface Connection {
  status: 'connecting' | 'connected' | 'reconnecting'
  /** The transport in use: `polling` at first, then `websocket`. */
  transport?: string
}

/**
 * The official client, connected while the component is mounted. React's Strict Mode mounts a component,
 * unmounts it and mounts it again, and may make a socket that it never uses. So a socket is made without
 * a connection, and the effect connects it.
 */
export function useSocket(): Connection & { socket: AppSocket } {
  const [socket] = useState(createSocket)
  const [connection, setConnection] = useState<Connection>({ status: 'connecting' })

  useEffect(() => {
    let isMounted = true
    const onConnect = () => setConnection((before) => ({ ...before, status: 'connected' }))
    const onDisconnect = (reason: string) => {
      setConnection({ status: 'reconnecting' })
      // After this reason, and no other, the client does not reconnect by itself.
      if (reason === 'io server disconnect') socket.connect()
    }
    const onOpen = () => {
      const { engine } = socket.io
      const onTransport = ({ name }: { name: string }) =>
        setConnection((before) => ({ ...before, transport: name }))
      onTransport(engine.transport)
      engine.on('upgrade', onTransport)
    }
    socket.on('connect', onConnect)
    socket.on('disconnect', onDisconnect)
    socket.io.on('open', onOpen)
    // Socket.IO does not run until the route was called once. After a restart of the server, the client's
    // own requests call the route, because they go to the same URL.
    fetch('/api/socket')
      .catch(() => {})
      .then(() => isMounted && socket.connect())

    return () => {
      isMounted = false
      socket.off('connect', onConnect)
      socket.off('disconnect', onDisconnect)
      socket.io.off('open', onOpen)
      socket.disconnect()
    }
  }, [socket])

  return { socket, ...connection }
}

function createSocket(): AppSocket {
  return io({
    // The same options as in pages/api/socket.ts.
    path: '/api/socket',
    addTrailingSlash: false,
    autoConnect: false,
    // Each hook has its own connection. By default, two sockets with the same URL share one.
    forceNew: true,
  })
}
