import type { NextApiRequest, NextApiResponse } from 'next'
import { getIO } from 'upwire/next'
import type { ClientToServer, ServerToClient } from '@/shared/events'
import { cleanText } from '@/shared/text'

export default function handler(req: NextApiRequest, res: NextApiResponse) {
  const text = cleanText(req.body?.text)
  if (req.method !== 'POST' || !text) return res.status(400).end('POST JSON with a text')
  getIO<ClientToServer, ServerToClient>('/api/socket')?.emit('message', { text })
  res.status(204).end()
}
