import type { Connection } from '@/lib/use-socket'
import styles from './notice.module.css'

interface Props {
  status: Connection['status']
  refusal: string | undefined
}

/** Tells the user about a problem, and when messages that are written meanwhile will be sent. */
export function Notice({ status, refusal }: Props) {
  const text =
    refusal ??
    (status === 'reconnecting' &&
      'The connection is lost. Messages you write now are sent when it is back.')
  if (!text) return null
  return (
    <p className={styles.notice} role="alert" data-testid="notice">
      {text}
    </p>
  )
}
