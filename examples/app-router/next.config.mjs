import { withUpwire } from 'upwire/next'

export default withUpwire({ reactStrictMode: true })
