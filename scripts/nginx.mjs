// Finds nginx for the proxy tests, or installs it where that is one command of the system.

import { findCommand, installPackage } from './debian.mjs'

export const howToGet = 'install nginx (Debian: apt-get install nginx-light)'

/** The path of nginx, or null. */
export function findNginx() {
  return findCommand('nginx')
}

/** The same, installed first when it is missing and this is a Debian run by root. */
export function ensureNginx() {
  return findNginx() ?? (installPackage('nginx-light') ? findNginx() : null)
}
