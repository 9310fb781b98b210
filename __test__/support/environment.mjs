// The environment of the programs that tests start.

/**
 * This process's environment without the variables that npm, node:test and the tests set for their
 * children, because they would change how Next.js behaves.
 */
export function environment(more = {}) {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      /^npm_config_(registry|cache|cafile|userconfig|.*proxy)$/i.test(name) ||
      !/^(npm_|NODE_TEST_|NODE_ENV$|NODE_OPTIONS$|NAPI_RS_|INIT_CWD$|PORT$|UPWIRE_)/i.test(name),
  )
  return { ...Object.fromEntries(kept), NEXT_TELEMETRY_DISABLED: '1', ...more }
}
