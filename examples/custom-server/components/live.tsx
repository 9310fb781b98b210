'use client'

import { type FormEvent, type ReactNode, useEffect, useState } from 'react'
import { useSocket } from '@/lib/use-socket'
import type { Message } from '@/shared/events'
import { ConnectionState } from './connection-state'

const KEPT_MESSAGES = 100

interface Entry extends Message {
  key: number
  isMine: boolean
}

interface Props {
  title: string
  lead: string
  /** Shown below the conversation. */
  children: ReactNode
}

export function Live({ title, lead, children }: Props) {
  const { socket, status, transport } = useSocket()
  const [entries, setEntries] = useState<readonly Entry[]>([])
  const [people, setPeople] = useState(0)

  useEffect(() => {
    const onMessage = (message: Message) => {
      const isMine = message.author === socket.id
      setEntries((before) => {
        const key = (before.at(-1)?.key ?? 0) + 1
        return [...before, { ...message, key, isMine }].slice(-KEPT_MESSAGES)
      })
    }
    socket.on('message', onMessage)
    socket.on('people', setPeople)
    return () => {
      socket.off('message', onMessage)
      socket.off('people', setPeople)
    }
  }, [socket])

  const say = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const text = String(new FormData(form).get('text')).trim()
    if (text) socket.emit('say', text)
    form.reset()
  }

  return (
    <main className="page">
      <header>
        <h1>{title}</h1>
        <p>{lead}</p>
      </header>
      <section className="card conversation" aria-label="Conversation">
        <ConnectionState status={status} transport={transport} people={people} />
        <div className="log" role="log" aria-label="Messages" tabIndex={0}>
          {entries.length === 0 ? (
            <p className="empty">Nothing yet. Open this page in a second window and say hello.</p>
          ) : (
            <ol>
              {entries.map(({ key, ...entry }) => (
                <Line key={key} {...entry} />
              ))}
            </ol>
          )}
        </div>
        <form className="field" onSubmit={say}>
          <input
            name="text"
            aria-label="Message"
            placeholder="Message"
            autoComplete="off"
            maxLength={500}
          />
          <button type="submit" disabled={status !== 'connected'}>
            Send
          </button>
        </form>
      </section>
      {children}
    </main>
  )
}

function Line({ author, text, isMine }: Omit<Entry, 'key'>) {
  const kind = author === undefined ? 'announcement' : isMine ? 'mine' : 'theirs'
  const name = { announcement: 'Server', mine: 'You', theirs: `Visitor ${author?.slice(0, 4)}` }
  return (
    <li className={kind}>
      <span className="author">{name[kind]}</span>
      <span className="text">{text}</span>
    </li>
  )
}
