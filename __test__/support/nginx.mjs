// A real nginx in front of an app.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNginx } from '../../scripts/nginx.mjs'
import { Child } from './child.mjs'
import { environment } from './environment.mjs'
import { until } from './events.mjs'
import { isOpen } from './ports.mjs'

const PATIENCE = 15_000
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

/**
 * Starts nginx, which passes requests and upgrades to an app as in most tutorials.
 * @param {number} target the port of the app
 * @param {{ port: number, directives: string }[]} servers where it listens, and what each server adds
 * @returns {Promise<() => void>} stops it
 */
export async function startNginx(target, servers) {
  const folder = mkdtempSync(join(tmpdir(), 'upwire-nginx-'))
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off;
pid ${folder}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  ${TEMPORARY.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  ${servers.map((server) => block(target, server)).join('\n  ')}
}
`,
  )
  const args = ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')]
  const nginx = new Child(findNginx() ?? 'nginx', args, {
    cwd: folder,
    env: environment(),
    isGroup: true,
  })
  const stop = () => {
    nginx.kill()
    rmSync(folder, { recursive: true, force: true })
  }
  const areOpen = async () => {
    const open = await Promise.all(servers.map(({ port }) => isOpen(port)))
    return open.every(Boolean)
  }
  await until(areOpen, () => `nginx to listen: ${nginx.output}`, PATIENCE).catch((error) => {
    stop()
    throw error
  })
  return stop
}

function block(target, { port, directives }) {
  return `server {
    listen ${port};
    location / {
      proxy_pass http://127.0.0.1:${target};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      ${directives}
    }
  }`
}
