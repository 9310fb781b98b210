import { getIO } from 'upwire/next'
import type { ClientToServer, ServerToClient } from '@/shared/events'
import { cleanText } from '@/shared/text'

export async function POST(request: Request) {
  const body: { text?: unknown } | null = await request.json().catch(() => null)
  const text = cleanText(body?.text)
  if (!text) return new Response('Send JSON with a text', { status: 400 })
  getIO<ClientToServer, ServerToClient>()?.emit('message', { text })
  return new Response(null, { status: 204 })
}
