const MAX_LENGTH = 500

/** A text from outside, which may be anything; empty when it is none. */
export function cleanText(value: unknown) {
  return typeof value === 'string' ? value.trim().slice(0, MAX_LENGTH) : ''
}
