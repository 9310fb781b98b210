import type { CSSProperties } from 'react'
import type { Member } from '@/shared/events'
import styles from './avatar.module.css'

/** The colour depends on the id, so that two people with the same name look different. */
export function Avatar({ member }: { member: Member }) {
  const hue = (parseInt(member.id.slice(0, 4), 16) || 0) % 360
  return (
    <span className={styles.avatar} style={{ '--hue': hue } as CSSProperties} aria-hidden="true">
      {initials(member.name)}
    </span>
  )
}

function initials(name: string) {
  const [first = '', second = ''] = name.split(/\s+/)
  return ([...first].slice(0, 1).join('') + [...second].slice(0, 1).join('')).toUpperCase()
}
