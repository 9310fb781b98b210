const MAX_LENGTH = 500

/** Cleans a text that a client has sent. A value that is not a string becomes an empty text. */
export function cleanText(value: unknown) {
  return typeof value === 'string' ? value.trim().slice(0, MAX_LENGTH) : ''
}
