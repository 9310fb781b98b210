import type { ReactNode } from 'react'
import type { Body, Member } from '@/shared/events'
import { Avatar } from './avatar'
import { MessageBody } from './message-body'
import { Tick, type TickState } from './tick'
import styles from './message-item.module.css'

interface Props {
  /** `undefined` if this tab is the author. */
  author: Member | undefined
  at: number
  body: Body
  state: TickState
  /** Whether it follows a message of the same author, whose name is then not repeated. */
  continued?: boolean
  /** Buttons for a message that was not delivered. */
  children?: ReactNode
}

export function MessageItem({ author, at, body, state, continued = false, children }: Props) {
  return (
    <li
      className={styles.item}
      data-testid="message"
      data-mine={!author}
      data-continued={continued}
      data-state={state}
    >
      {author && <Avatar member={author} />}
      <div className={styles.column}>
        <p className={styles.author} data-testid="author">
          {author ? author.name : 'You'}
        </p>
        <MessageBody body={body} />
        {children}
      </div>
      <p className={styles.meta}>
        <Time at={at} />
        {!author && <Tick state={state} />}
      </p>
    </li>
  )
}

function Time({ at }: { at: number }) {
  const time = new Date(at)
  return (
    <time dateTime={time.toISOString()} title={time.toLocaleString()}>
      {time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}
    </time>
  )
}
