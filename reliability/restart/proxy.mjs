// A real nginx in front of one or more servers; a client stays with its server while that is up.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
const PATIENCE = 10_000

export class Nginx {
  #command
  #folder = mkdtempSync(join(tmpdir(), 'upwire-restart-'))
  #child
  #output = ''

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
    this.#child = spawn(this.#command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child.stderr.on('data', (text) => (this.#output += text))
    process.once('exit', this.#kill)
    const end = performance.now() + PATIENCE
    while (!(await isOpen(this.port))) {
      if (performance.now() > end) throw new Error(`nginx does not listen: ${this.#output}`)
      await sleep(20)
    }
  }

  /** New workers take over; connections of the old ones end a second later. */
  reload() {
    this.#child.kill('SIGHUP')
  }

  /** Ends all connections at once. */
  async stop() {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
    process.off('exit', this.#kill)
  }

  async end() {
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #kill = () => this.#child.kill('SIGTERM')
}

async function isOpen(port) {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}
