import type { FormEvent } from 'react'

/** Asks a route to send an announcement to all pages. */
export function Announce({ hint }: { hint: string }) {
  const announce = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const response = await fetch('/api/announce', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: new FormData(form).get('text') }),
    }).catch(() => undefined)
    // If the announcement fails, its text stays in the field.
    if (response?.ok) form.reset()
  }

  return (
    <section className="card" aria-label="Announcement">
      <form className="field" onSubmit={announce}>
        <input
          name="text"
          aria-label="Announcement"
          placeholder="Announcement"
          autoComplete="off"
          maxLength={500}
          pattern=".*\S.*"
          required
        />
        <button type="submit">Announce</button>
      </form>
      <p className="hint">{hint}</p>
    </section>
  )
}
