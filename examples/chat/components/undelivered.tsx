import type { Draft } from '@/lib/conversation'
import styles from './undelivered.module.css'

interface Props {
  draft: Draft
  /** `false` without a connection: the message is sent automatically once there is one. */
  canRetry: boolean
  onRetry(): void
  onDiscard(): void
}

export function Undelivered({ draft, canRetry, onRetry, onDiscard }: Props) {
  return (
    <p className={styles.undelivered} data-state={draft.state}>
      <span>{draft.reason ?? 'Not sent yet'}</span>
      {canRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
      <button type="button" onClick={onDiscard}>
        Discard
      </button>
    </p>
  )
}
