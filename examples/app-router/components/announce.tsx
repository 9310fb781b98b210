interface Props {
  hint: string
  /** A server action: the form also works before, and without, the page's JavaScript. */
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
