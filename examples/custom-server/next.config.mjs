import { withUpwire } from 'upwire/next'

// The route handler imports upwire, which must not be bundled.
export default withUpwire({ reactStrictMode: true })
