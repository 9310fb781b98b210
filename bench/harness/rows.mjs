// The rows of the report: the figure that each takes from the scenario of the same name, and its target.

const cpu = { unit: 'CPU µs', value: ({ cpu }) => cpu }
const page = { unit: 'GET p99 ms', value: ({ get }) => get?.p99 }

/** `atMost` bounds the ratio upwire/stock, `limit` upwire's own figure. */
export const rows = [
  { id: 'echo-8', title: 'echo, 8 outstanding', ...cpu, atMost: 0.35 },
  { id: 'echo-1', title: 'echo, 1 outstanding', ...cpu, atMost: 0.55 },
  { id: 'echo-paced', title: 'echo paced, 20,000/s', ...cpu, atMost: 1.05 },
  {
    id: 'broadcast-js',
    title: 'JS time of one broadcast to 1,000',
    unit: 'ms',
    value: ({ emitMs }) => emitMs,
    atMost: 1,
  },
  { id: 'fanout-1000', title: 'fan-out to 1,000, 4 outstanding', ...cpu, atMost: 0.5 },
  { id: 'fanout-10000', title: 'fan-out to 10,000, 4 outstanding', ...cpu, atMost: 0.5 },
  { id: 'get-echo', title: 'GET during echo', ...page, atMost: 0.5 },
  { id: 'get-fanout-1000', title: 'GET during fan-out to 1,000, paced', ...page, atMost: 0.5 },
  { id: 'get-fanout-10000', title: 'GET during fan-out to 10,000, paced', ...page, atMost: 0.5 },
  { id: 'storm-websocket', title: 'connect storm, WebSocket only', ...cpu, atMost: 0.6 },
  { id: 'storm-upgrade', title: 'connect storm, with upgrade', ...cpu, atMost: 0.8 },
  { id: 'polling', title: 'polling echo', ...cpu, atMost: 0.9 },
  { id: 'binary', title: '1 MB binary echo', ...cpu, atMost: 0.6 },
  { id: 'idle', title: 'idle connection, RSS', unit: 'KiB', value: ({ kib }) => kib, atMost: 0.7 },
  {
    id: 'probe',
    title: 'time from probe to upgraded',
    unit: 'ms',
    value: ({ upgradeMs }) => upgradeMs,
    limit: 25,
  },
]
