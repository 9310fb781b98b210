import { useSyncExternalStore } from 'react'
import settings from '@/shared/settings.json'
import { randomId } from './random-id'
import { Store } from './store'

/** The name and the room of this tab. Another tab of the same browser is another member. */
export interface Profile {
  /** Empty until chosen. */
  name: string
  /** The name used last in this browser, offered to the next tab. */
  lastName: string
  room: string
  key: string
}

class ProfileStore extends Store<Profile> {
  constructor() {
    const room = read(sessionStorage, 'room')
    super({
      name: read(sessionStorage, 'name'),
      lastName: read(localStorage, 'name'),
      room: settings.rooms.some(({ id }) => id === room) ? room : settings.rooms[0]!.id,
      key: read(sessionStorage, 'key') || write(sessionStorage, 'key', randomId()),
    })
  }

  setName(name: string) {
    this.update({ name: write(sessionStorage, 'name', name) })
    if (name) this.update({ lastName: write(localStorage, 'name', name) })
  }

  setRoom(room: string) {
    this.update({ room: write(sessionStorage, 'room', room) })
  }
}

const read = (storage: Storage, field: string) => storage.getItem(`upwire-chat:${field}`) ?? ''

function write(storage: Storage, field: string, value: string) {
  storage.setItem(`upwire-chat:${field}`, value)
  return value
}

// Made on first use, because storage exists only in the browser.
let store: ProfileStore | undefined
export const profileStore = () => (store ??= new ProfileStore())

/** `undefined` while the server renders, and until the browser has hydrated the page. */
export function useProfile(): Profile | undefined {
  return useSyncExternalStore(subscribe, getState, () => undefined)
}

const subscribe = (listener: () => void) => profileStore().subscribe(listener)
const getState = () => profileStore().getState()
