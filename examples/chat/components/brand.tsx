import styles from './brand.module.css'

export function Brand({ title }: { title: string }) {
  return (
    <h1 className={styles.brand}>
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="9" fill="var(--accent)" />
        <path
          d="M8.5 10v6.5a6 6 0 0 0 12 0V9.5m-4 4 4-4 4 4"
          fill="none"
          stroke="#fff"
          strokeWidth="2.6"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      <span data-testid="title">{title}</span>
    </h1>
  )
}
