/** Not `crypto.randomUUID()`: that one is missing when a phone opens the page by http and address. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
