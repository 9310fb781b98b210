import { Announce } from '@/components/announce'
import { Live } from '@/components/live'

export default function Page() {
  return (
    <Live title="Custom server" lead="server.js runs Next.js and Socket.IO on one port.">
      <Announce hint="POST /api/announce: a route handler calls getIO()?.emit()" />
    </Live>
  )
}
