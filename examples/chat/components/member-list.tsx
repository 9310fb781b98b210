import type { Member } from '@/shared/events'
import { Avatar } from './avatar'
import styles from './member-list.module.css'

interface Props {
  members: readonly Member[]
  me: Member | undefined
  name: string
  onRename(): void
}

export function MemberList({ members, me, name, onRename }: Props) {
  return (
    <>
      <h2 className={styles.heading}>
        Online <span data-testid="online-count">{members.length}</span>
      </h2>
      <ul className={styles.list} data-testid="members">
        {members.map((member) => (
          <li key={member.id}>
            <Avatar member={member} />
            <span className={styles.name} data-testid="member">
              {member.name}
            </span>
            {member.id === me?.id && <span className={styles.you}>you</span>}
          </li>
        ))}
      </ul>
      <button type="button" className={styles.rename} title={`You are ${name}`} onClick={onRename}>
        Change name
      </button>
    </>
  )
}
