// Replaces the native binding in an app's bundle, which cannot contain a binary. It loads the binding
// from the project's node_modules when the app runs.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { warnOnce } from '../errors.js'

warnOnce(
  'bundled',
  'UPWIRE_BUNDLED',
  "the app's bundle contains upwire: put withUpwire around the config in next.config, or list upwire, " +
    'socket.io and engine.io in serverExternalPackages (before Next.js 15: ' +
    'experimental.serverComponentsExternalPackages). If upwire is linked into the project, install it ' +
    'instead: bundlers treat linked packages as code of the app',
)

/** These paths are computed, so that bundlers do not follow them. */
const load = createRequire(join(process.cwd(), 'package.json'))
const manifest = load.resolve(['upwire', 'package.json'].join('/'))

export default load(join(dirname(manifest), 'native', 'binding.js'))
