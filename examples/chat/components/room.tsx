import { type Profile, profileStore } from '@/lib/profile'
import { roomView } from '@/lib/conversation'
import { useConversation } from '@/lib/use-conversation'
import { useSocket } from '@/lib/use-socket'
import settings from '@/shared/settings.json'
import { Brand } from './brand'
import { Composer } from './composer'
import { ConnectionState } from './connection-state'
import { MemberList } from './member-list'
import { MessageList } from './message-list'
import { Notice } from './notice'
import { RoomList } from './room-list'
import styles from './room.module.css'

interface Props {
  title: string
  profile: Profile
}

export function Room({ title, profile }: Props) {
  const { socket, status, transports } = useSocket({ key: profile.key })
  const { conversation, state } = useConversation(socket, profile.name, profile.room)
  const { messages, members } = roomView(state, state.room)

  const enter = (room: string) => {
    profileStore().setRoom(room)
    conversation.enter(room)
  }

  return (
    <div className={styles.page}>
      <header className={styles.header}>
        <Brand title={title} />
        <ConnectionState status={status} transports={transports} />
      </header>

      <nav className={styles.rooms} aria-label="Rooms">
        <RoomList current={state.room} onEnter={enter} />
      </nav>

      <main
        className={styles.main}
        data-testid="room"
        data-room={state.room}
        data-joined={state.joined}
      >
        <h2 className={styles.topic}>
          <span>{state.room}</span> {settings.rooms.find(({ id }) => id === state.room)?.topic}
        </h2>
        <MessageList
          key={state.room}
          messages={messages}
          drafts={state.drafts.filter(({ room }) => room === state.room)}
          me={state.me}
          joined={state.joined}
          onRetry={(draft) => conversation.retry(draft)}
          onDiscard={(draft) => conversation.discard(draft)}
        />
        <Notice status={status} refusal={state.refusal} />
        <Composer room={state.room} onSend={(body) => conversation.send(body)} />
      </main>

      <aside className={styles.members} aria-label="Online in this room" aria-busy={!state.joined}>
        <MemberList
          members={members}
          me={state.me}
          name={profile.name}
          onRename={() => profileStore().setName('')}
        />
      </aside>
    </div>
  )
}
