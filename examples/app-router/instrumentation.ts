/** Next.js calls this once, when its server starts. */
export async function register() {
  // It is compiled for the edge runtime as well, where there is no server.
  if (process.env.NEXT_RUNTIME === 'nodejs') await import('./socket')
}
