import type { Connection } from '@/lib/use-socket'
import styles from './connection-state.module.css'

const words = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
}

export function ConnectionState({ status, transports }: Connection) {
  const current = transports.at(-1)
  return (
    <p className={styles.state} role="status" data-testid="status" data-status={status}>
      <span className={styles.words}>{words[status]}</span>
      {current && (
        <span className={styles.transports} title="Transport in use">
          {transports.slice(0, -1).map((name) => (
            <span key={name} className={styles.past} data-testid="past-transport">
              {name}
            </span>
          ))}
          <strong data-testid="transport">{current}</strong>
        </span>
      )}
    </p>
  )
}
