import Head from 'next/head'
import { Announce } from '@/components/announce'
import { Live } from '@/components/live'

export default function Page() {
  return (
    <>
      <Head>
        <title>Pages API – upwire</title>
        <meta name="description" content="Socket.IO in an API route of a Next.js app" />
      </Head>
      <Live title="Pages API" lead="No custom server: an API route attaches Socket.IO.">
        <Announce hint="POST /api/announce: an API route calls getIO()?.emit()" />
      </Live>
    </>
  )
}
