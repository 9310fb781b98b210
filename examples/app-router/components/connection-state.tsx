import type { Connection } from '@/lib/use-socket'

const words = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
}

export function ConnectionState({ status, transport, people }: Connection & { people: number }) {
  return (
    <p className="state" role="status" data-testid="status" data-status={status}>
      <span className="words">{words[status]}</span>
      {status === 'connected' && (
        <>
          <span className="pill" title="Transport in use" data-testid="transport">
            {transport}
          </span>
          <span className="people" data-testid="people">
            {people === 1 ? 'only you' : `${people} people`}
          </span>
        </>
      )}
    </p>
  )
}
