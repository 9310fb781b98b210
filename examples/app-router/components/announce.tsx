interface Props {
  hint: string
  /** A server action, so the form also works before the page's JavaScript has loaded, or without it. */
  action(form: FormData): Promise<void>
}

export function Announce({ hint, action }: Props) {
  return (
    <section className="card" aria-label="Announcement">
      <form className="field" action={action}>
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
