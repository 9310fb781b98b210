import { withUpwire } from 'upwire/next'

// For the route handler: it imports upwire, which must not be bundled.
export default withUpwire({ reactStrictMode: true })
