import type { Draft } from '@/lib/conversation'
import styles from './tick.module.css'

export type TickState = Draft['state'] | 'delivered'

const labels: Record<TickState, string> = {
  pending: 'Sending',
  delivered: 'Delivered',
  unsent: 'Not sent',
  refused: 'Not accepted',
}

const shapes: Record<TickState, string> = {
  pending: 'M8 4.5V8l2.2 1.6M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z',
  delivered: 'M3 8.6 6.4 12 13 4.8',
  unsent: 'M8 4.6v4.2m0 2.5v.1M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z',
  refused: 'M5.8 5.8l4.4 4.4m0-4.4-4.4 4.4M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0Z',
}

/** Shows whether a message of this tab is being sent, was delivered, or was not. */
export function Tick({ state }: { state: TickState }) {
  return (
    <svg
      className={styles.tick}
      viewBox="0 0 16 16"
      role="img"
      data-testid="tick"
      data-state={state}
    >
      <title>{labels[state]}</title>
      <path d={shapes[state]} />
    </svg>
  )
}
