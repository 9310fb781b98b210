// A real nginx in front of one or more servers; a client stays with its server while that is up.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Child } from '../../__test__/support/child.mjs'
import { until } from '../../__test__/support/events.mjs'
import { isOpen } from '../../__test__/support/ports.mjs'

const PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
const PATIENCE = 10_000

export class Nginx {
  #command
  #folder = mkdtempSync(join(tmpdir(), 'upwire-restart-'))
  #child

  constructor(command, port, upstreams) {
    this.#command = command
    this.port = port
    const servers = upstreams.map((each) => `server 127.0.0.1:${each} max_fails=1 fail_timeout=1s;`)
    writeFileSync(
      join(this.#folder, 'nginx.conf'),
      `daemon off;
pid ${this.#folder}/nginx.pid;
error_log stderr crit;
# A reload ends what the old workers still carry.
worker_shutdown_timeout 1s;
events { worker_connections 4096; }
http {
  access_log off;
  ${PATHS.map((name) => `${name}_temp_path ${this.#folder}/${name};`).join('\n  ')}
  upstream upwire {
    hash $http_x_client consistent;
    ${servers.join('\n    ')}
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://upwire;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_next_upstream error timeout;
      proxy_connect_timeout 2s;
    }
  }
}
`,
    )
  }

  async start() {
    const args = ['-p', this.#folder, '-e', 'stderr', '-c', join(this.#folder, 'nginx.conf')]
    this.#child = new Child(this.#command, args, { isGroup: true })
    await until(
      () => isOpen(this.port, '127.0.0.1'),
      () => `nginx to listen: ${this.#child.output}`,
      PATIENCE,
    )
  }

  /** New workers take over; connections of the old ones end a second later. */
  reload() {
    this.#child.signal('SIGHUP')
  }

  /** Ends all connections at once. */
  async stop() {
    this.#child.signal('SIGTERM')
    await this.#child.exited
  }

  async end() {
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
