import type { Draft } from '@/lib/conversation'
import type { Member, Message } from '@/shared/events'
import { MessageItem } from './message-item'
import styles from './message-list.module.css'
import { Undelivered } from './undelivered'

const GROUP_WITHIN = 5 * 60_000

interface Props {
  messages: readonly Message[]
  drafts: readonly Draft[]
  me: Member | undefined
  joined: boolean
  onRetry(draft: Draft): void
  onDiscard(draft: Draft): void
}

export function MessageList({ messages, drafts, me, joined, onRetry, onDiscard }: Props) {
  // Messages and drafts are one list of the same element, so a draft that becomes a message keeps its
  // place in the page, and its image is not loaded again.
  const items = [
    ...messages.map((message, index) => (
      <MessageItem
        key={message.id}
        author={message.author.id === me?.id ? undefined : message.author}
        at={message.at}
        body={message.body}
        state="delivered"
        continued={continues(messages[index - 1], message)}
      />
    )),
    ...drafts.map((draft) => (
      <MessageItem
        key={draft.id}
        author={undefined}
        at={draft.at}
        body={draft.body}
        state={draft.state}
      >
        {draft.state !== 'pending' && (
          <Undelivered
            draft={draft}
            canRetry={joined}
            onRetry={() => onRetry(draft)}
            onDiscard={() => onDiscard(draft)}
          />
        )}
      </MessageItem>
    )),
  ]
  return (
    // In reversed direction, the browser keeps the newest message in view, also while an image loads.
    <div className={styles.scroller} tabIndex={0} role="log" aria-label="Messages">
      {items.length === 0 && (
        <p className={styles.empty}>No messages here yet. Write the first one.</p>
      )}
      <ol className={styles.list} data-testid="messages">
        {items}
      </ol>
    </div>
  )
}

/** Whether a message follows shortly after one of the same author; the name is then shown once. */
function continues(before: Message | undefined, { author, at }: Message) {
  return (
    before?.author.id === author.id &&
    before.author.name === author.name &&
    at - before.at < GROUP_WITHIN
  )
}
