// Finds nginx for the proxy tests, or installs it where one command can do that.

import { findCommand, installPackage } from './debian.mjs'

export const howToGet = 'install nginx (Debian: apt-get install nginx-light)'

/** The path of nginx, or null. */
export function findNginx() {
  return findCommand('nginx')
}

/** The path of nginx. When it is missing and this is Debian with root, it is installed first. */
export function ensureNginx() {
  return findNginx() ?? (installPackage('nginx-light') ? findNginx() : null)
}
