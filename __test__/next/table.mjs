// The matrix as a Markdown table.

import { problems, word } from './expected.mjs'

/**
 * @param {import('./shapes.mjs').Cell[]} cells
 * @param {Map<string, object>} results by the cells' names
 */
export function table(cells, results) {
  const versions = [...new Set(cells.map(({ version }) => version.next))]
  const shapes = [...new Set(cells.map(({ shape }) => shape.name))]
  const rows = shapes.map((shape) => [
    shape,
    ...versions.map((version) =>
      entry(
        cells.filter((cell) => cell.shape.name === shape && cell.version.next === version),
        results,
      ),
    ),
  ])
  const lines = [['', ...versions], ['', ...versions].map(() => '---'), ...rows]
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`
}

/** The entry for a shape on a version, for all its bundlers together. */
function entry(cells, results) {
  if (cells.length === 0) return '–'
  const words = cells.map((cell) => {
    const found = problems(cell, results.get(cell.name))
    if (found === undefined) return ''
    if (found.length === 0) return word(cell)
    const checks = found.map((problem) => problem.split(':')[0])
    return `**${checks.join(', ')}**${cells.length > 1 ? ` (${cell.bundler.name})` : ''}`
  })
  return [...new Set(words)].filter(Boolean).join('; ')
}
