import { Announce } from '@/components/announce'
import { Live } from '@/components/live'
import { announce } from './actions'

export default function Page() {
  return (
    <Live title="App Router" lead="No custom server: instrumentation.ts registers Socket.IO.">
      <Announce action={announce} hint="A server action calls getIO()?.emit()" />
    </Live>
  )
}
