import settings from '@/shared/settings.json'
import styles from './room-list.module.css'

interface Props {
  current: string
  onEnter(room: string): void
}

export function RoomList({ current, onEnter }: Props) {
  return (
    <ul className={styles.list}>
      {settings.rooms.map(({ id, topic }) => (
        <li key={id}>
          <button
            type="button"
            aria-current={id === current ? 'page' : undefined}
            title={topic}
            onClick={() => onEnter(id)}
          >
            <span aria-hidden="true">#</span>
            {id}
          </button>
        </li>
      ))}
    </ul>
  )
}
