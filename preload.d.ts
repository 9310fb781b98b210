/**
 * For `node --require upwire/preload server.js` and `NODE_OPTIONS='--require upwire/preload'`. Clients that
 * connect before the app's instrumentation has run wait for it, each for at most 10 s. The path is that
 * of the environment variable `UPWIRE_PATH`, or `/socket.io`.
 */
export {}
