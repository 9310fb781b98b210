import { useEffect, useState } from 'react'
import { Conversation } from './conversation'
import { useStore } from './store'
import type { ChatSocket } from './use-socket'

export function useConversation(socket: ChatSocket, name: string, room: string) {
  const [conversation] = useState(() => new Conversation(socket, name, room))
  useEffect(() => conversation.open(), [conversation])
  return { conversation, state: useStore(conversation) }
}
