import { useCallback } from 'react'
import type { Body, Image } from '@/shared/events'
import styles from './message-body.module.css'

export function MessageBody({ body }: { body: Body }) {
  if (body.type === 'image') return <Picture {...body} />
  return (
    <p className={styles.text} data-testid="text">
      {body.text}
    </p>
  )
}

function Picture({ data, mediaType, fileName }: Image) {
  // The URL keeps the bytes in memory, so it is revoked together with the element.
  const show = useCallback(
    (element: HTMLImageElement) => {
      const url = URL.createObjectURL(new Blob([data], { type: mediaType }))
      element.src = url
      return () => URL.revokeObjectURL(url)
    },
    [data, mediaType],
  )
  return (
    <figure className={styles.picture}>
      <img ref={show} alt={fileName} data-testid="image" />
      <figcaption>{fileName}</figcaption>
    </figure>
  )
}
