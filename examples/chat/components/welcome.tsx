import { Brand } from './brand'
import styles from './welcome.module.css'
import settings from '@/shared/settings.json'

interface Props {
  title: string
  lastName: string
  onJoin(name: string): void
}

export function Welcome({ title, lastName, onJoin }: Props) {
  const join = (form: FormData) => {
    const name = String(form.get('name')).trim()
    if (name) onJoin(name)
  }
  return (
    <main className={styles.page}>
      <form className={styles.card} action={join}>
        <Brand title={title} />
        <p className={styles.lead}>Pick a name and start talking. There is no account.</p>
        <label htmlFor="name">Your name</label>
        <input
          id="name"
          name="name"
          autoComplete="nickname"
          autoFocus
          defaultValue={lastName}
          maxLength={settings.limits.nameLength}
          pattern=".*\S.*"
          placeholder="Ada"
          required
        />
        <button type="submit">Join the chat</button>
      </form>
    </main>
  )
}
