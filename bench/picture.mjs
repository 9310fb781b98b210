// Draws docs/bench.svg, the picture of the README, from the table in bench/README.md:
//
//   node bench/picture.mjs
//
// A test compares the two, so the picture shows no number that the table does not have.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const table = new URL('README.md', import.meta.url)
const picture = new URL('../docs/bench.svg', import.meta.url)

const WIDTH = 880
const TOP = 92
const ROW = 25
const BARS = { left: 300, width: 340 }
const LINE = 128

/** The picture of the run in a text of bench/README.md. */
export function draw(text) {
  const { about, rows } = readRun(text)
  const largest = Math.max(1, ...rows.map(({ ratio }) => ratio))
  const scale = (ratio) => Number(((ratio / largest) * BARS.width).toFixed(1))
  const bottom = TOP + rows.length * ROW
  const notes = wrap(about, LINE)
  const height = bottom + 34 + notes.length * 16
  const stockX = BARS.left + scale(1)
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="13">`,
    '<title>upwire compared with stock Socket.IO, lower is better</title>',
    `<rect width="${WIDTH}" height="${height}" rx="8" fill="#ffffff"/>`,
    '<text x="24" y="36" font-size="18" font-weight="600" fill="#111827">upwire compared with stock Socket.IO</text>',
    '<text x="24" y="58" fill="#4b5563">Each bar is upwire’s share of what stock needs: shorter is better. Figures are stock → upwire.</text>',
    `<line x1="${stockX}" y1="${TOP - 8}" x2="${stockX}" y2="${bottom}" stroke="#6b7280" stroke-dasharray="3 3"/>`,
    `<text x="${stockX}" y="${TOP - 13}" text-anchor="middle" font-size="12" fill="#4b5563">stock</text>`,
    ...rows.flatMap((row, index) => drawRow(row, TOP + index * ROW, scale)),
    ...notes.map(
      (note, index) =>
        `<text x="24" y="${bottom + 28 + index * 16}" font-size="12" fill="#4b5563">${escapeXml(note)}</text>`,
    ),
    '</svg>',
  ]
  return `${lines.join('\n')}\n`
}

function drawRow({ name, unit, stock, upwire, ratio }, y, scale) {
  const color = ratio > 1 ? '#d97706' : '#2563eb'
  const figures = `${stock} → ${upwire} ${unit}`
  return [
    `<text x="${BARS.left - 12}" y="${y + 16}" text-anchor="end" fill="#111827">${escapeXml(name)}</text>`,
    `<rect x="${BARS.left}" y="${y + 4}" width="${Math.max(scale(ratio), 1.5)}" height="16" rx="2" fill="${color}"/>`,
    `<text x="${BARS.left + BARS.width + 24}" y="${y + 16}" fill="#374151">${escapeXml(figures)}</text>`,
  ]
}

/** The rows of the table, and the sentence that says how they were measured. */
function readRun(text) {
  const [section] = text.slice(text.indexOf('## A run')).split(/(?=\n## )/)
  const [, paragraph] = section.split(/\n\n/)
  const [about] = paragraph
    .replaceAll('`', '')
    .replaceAll('\n', ' ')
    .split(/(?<=\.)\s+(?=[A-Z])/)
  const rows = section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, name, unit, stock, upwire, ratio]) => ({
      name,
      unit,
      stock,
      upwire,
      ratio: Number(ratio),
    }))
  return { about, rows }
}

function wrap(text, length) {
  const lines = ['']
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trim()
    if (longer.length > length) lines.push(word)
    else lines[lines.length - 1] = longer
  }
  return lines
}

function escapeXml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(fileURLToPath(picture), draw(readFileSync(table, 'utf8')))
}
