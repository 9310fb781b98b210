/**
 * For `node --require upwire/preload server.js` and `NODE_OPTIONS='--require upwire/preload'`: clients
 * that connect before the app's instrumentation has run wait for it, at most 10 s each. It knows the
 * path by the environment variable `UPWIRE_PATH`.
 */
export {}
