// Stands in for the native binding in an app's bundle, where no binary can be: Node loads it from the
// project's own node_modules.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { warnOnce } from '../errors.js'

warnOnce(
  'bundled',
  'UPWIRE_BUNDLED',
  "the app's bundle has upwire in it: put withUpwire around the config in next.config, or name upwire, " +
    'socket.io and engine.io in serverExternalPackages (before Next.js 15: ' +
    'experimental.serverComponentsExternalPackages). Where upwire is linked into the project, bundlers ' +
    'take it for code of the app: install it',
)

/** Made when they are needed, so that no bundler follows them. */
const load = createRequire(join(process.cwd(), 'package.json'))
const manifest = load.resolve(['upwire', 'package.json'].join('/'))

export default load(join(dirname(manifest), 'native', 'binding.js'))
