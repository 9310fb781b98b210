'use server'

import { getIO } from 'upwire/next'
import type { ClientToServer, ServerToClient } from '@/shared/events'
import { cleanText } from '@/shared/text'

export async function announce(form: FormData) {
  const text = cleanText(form.get('text'))
  if (text) getIO<ClientToServer, ServerToClient>()?.emit('message', { text })
}
