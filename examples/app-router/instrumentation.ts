/** Next.js calls this function once, when its server starts. */
export async function register() {
  // Next.js also compiles this file for the edge runtime, where there is no server.
  if (process.env.NEXT_RUNTIME === 'nodejs') await import('./socket')
}
