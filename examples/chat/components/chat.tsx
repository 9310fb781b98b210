'use client'

import { profileStore, useProfile } from '@/lib/profile'
import { Room } from './room'
import { Welcome } from './welcome'

/** Asks for a name first. A tab that has one shows its room at once. */
export function Chat({ title }: { title: string }) {
  const profile = useProfile()
  if (!profile) return null
  if (!profile.name) {
    const join = (name: string) => profileStore().setName(name)
    return <Welcome title={title} lastName={profile.lastName} onJoin={join} />
  }
  return <Room title={title} profile={profile} />
}
