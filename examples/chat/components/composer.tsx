import { type ChangeEvent, type FormEvent, type KeyboardEvent, useRef, useState } from 'react'
import { readImage, UnusableImage } from '@/lib/image-file'
import type { Body } from '@/shared/events'
import settings from '@/shared/settings.json'
import styles from './composer.module.css'

interface Props {
  room: string
  onSend(body: Body): void
}

export function Composer({ room, onSend }: Props) {
  const [text, setText] = useState('')
  const [problem, setProblem] = useState('')
  const form = useRef<HTMLFormElement>(null)

  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (!text.trim()) return
    onSend({ type: 'text', text: text.trim() })
    setText('')
    setProblem('')
  }

  const sendOnEnter = (event: KeyboardEvent) => {
    // While an input method is composing, Enter chooses a word.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    form.current?.requestSubmit()
  }

  const chooseImage = async ({ currentTarget: input }: ChangeEvent<HTMLInputElement>) => {
    const file = input.files?.[0]
    if (!file) return
    try {
      onSend(await readImage(file))
      setProblem('')
    } catch (error) {
      setProblem(error instanceof UnusableImage ? error.message : 'The file cannot be read.')
    }
    // Without this, the same file could not be chosen again.
    input.value = ''
  }

  return (
    <form ref={form} className={styles.composer} onSubmit={submit}>
      {problem && (
        <p className={styles.problem} role="alert" data-testid="problem">
          {problem}
        </p>
      )}
      <label className={styles.attach} title="Send an image">
        <input
          type="file"
          accept={settings.imageTypes.join()}
          aria-label="Send an image"
          onChange={chooseImage}
        />
        <svg viewBox="0 0 24 24" aria-hidden="true">
          <path d="M4 6.5A1.5 1.5 0 0 1 5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5ZM4 16l4.5-4.5L14 17m-1.5-1.5 3-3L20 17M15.5 8.8h.1" />
        </svg>
      </label>
      <textarea
        aria-label={`Message to ${room}`}
        placeholder={`Message #${room}`}
        rows={1}
        maxLength={settings.limits.textLength}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={sendOnEnter}
      />
      <button type="submit" className={styles.send} disabled={!text.trim()}>
        <span>Send</span>
        <svg viewBox="0 0 24 24" aria-hidden="true">
          <path d="M5 12h13m-5.5-6L19 12l-6.5 6" />
        </svg>
      </button>
    </form>
  )
}
