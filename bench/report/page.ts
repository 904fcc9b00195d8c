/** One page that needs nothing else: pictures and tables of several result files. */
import { deviceOf, formatMs, type Row } from '../../lib/bench/row.js'
import type { BenchResult } from '../../lib/bench/run.js'

export interface Section {
  readonly name: string
  readonly result: BenchResult
  /** As SVG elements. */
  readonly figures: readonly { readonly caption: string; readonly svg: string }[]
}

const STYLE = `
  :root { color-scheme: light; }
  body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1060px; margin: 2.5rem auto; padding: 0 1.25rem; }
  h1 { font-size: 1.7rem; margin-bottom: .25rem; }
  h2 { font-size: 1.25rem; margin-top: 3rem; border-bottom: 2px solid #e8590c; padding-bottom: .25rem; }
  nav a { margin-right: 1rem; }
  a { color: #c2410c; }
  .machine, figcaption, .note { color: #555; font-size: .9rem; }
  figure { margin: 1.5rem 0; }
  figure svg { max-width: 100%; height: auto; }
  table { border-collapse: collapse; font-size: .82rem; width: 100%; }
  th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid #eee; white-space: nowrap; }
  th { font-weight: 600; border-bottom: 1px solid #999; position: sticky; top: 0; background: white; }
  th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
  td { font-variant-numeric: tabular-nums; }
  tr.peer td { color: #777; }
  tr.first td { border-top: 1px solid #bbb; }
  .scroll { overflow-x: auto; }
  .error { color: #b00020; }
`

export function page(sections: readonly Section[]): string {
  const links = sections.map(({ name }, i) => `<a href="#s${i}">${html(name)}</a>`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>forja: benches</title>
<style>${STYLE}</style>
</head>
<body>
<h1>forja: benches</h1>
<p class="note">Contenders take turns in one run; a ratio is the peer's time over forja's, median (smallest .. largest) of the
turns: above 1 forja is faster. Results were compared before they were timed. Percentages are of the multiply-add peak and
of the copy bandwidth measured in the same run.</p>
<nav>${links.join('\n')}</nav>
${sections.map(renderSection).join('\n')}
</body>
</html>
`
}

function renderSection({ name, result, figures }: Section, index: number): string {
  const { machine, command, peers, errors, rows, unfinished } = result
  const ceilings =
    machine.fmaGflops === undefined
      ? ''
      : ` · peak ${machine.fmaGflops.toFixed(0)} GFLOP/s, copy ${machine.copyGbytes?.toFixed(1)} GB/s`
  const gpus = (machine.gpus ?? []).map(({ id, name, isa, libraries }) =>
    [`${id}: ${name}`, isa, ...libraries].join(' · '),
  )
  const versions = peers.map((peer) => ('absent' in peer ? `${peer.name} absent (${peer.absent})` : peer.version))
  return `<section id="s${index}">
<h2>${html(name)}</h2>
<p class="machine">${html(`${machine.cpu} · ${machine.isa} · ${machine.threads} thread${machine.threads > 1 ? 's' : ''}${ceilings}`)}<br>
${html(`${machine.date.slice(0, 10)} · ${machine.revision} · Node ${machine.node}`)} · <code>${html(command)}</code><br>
${[...gpus, versions.join(' · ')].map(html).join('<br>\n')}</p>
${unfinished ? '<p class="error">The run was cut short: rows are missing.</p>' : ''}
${errors.map((error) => `<p class="error">no row: ${html(error.message)}</p>`).join('\n')}
${figures.map(({ caption, svg }, i) => `<figure>${withIds(svg, `s${index}f${i}`)}<figcaption>${html(caption)}</figcaption></figure>`).join('\n')}
${renderTable(rows)}
</section>`
}

/** Names inside the pictures (of clip paths) are names of the whole page: each picture gets its own. */
function withIds(svg: string, prefix: string): string {
  return svg.replaceAll(/( id="|url\(#|href="#)/g, `$1${prefix}-`)
}

interface Column {
  readonly title: string
  readonly of: (row: Row) => string | undefined
}

const percent = (value: number | undefined) => (value === undefined ? undefined : `${value.toFixed(1)} %`)

const COLUMNS: readonly Column[] = [
  { title: 'case', of: (row) => row.case },
  { title: 'variant', of: (row) => row.variant },
  { title: 'device', of: deviceOf },
  { title: 'median', of: (row) => formatMs(row.p50Ms) },
  { title: 'GFLOP/s', of: (row) => row.gflops?.toFixed(1) },
  { title: '% of peak', of: (row) => percent(row.percentOfPeak) },
  { title: 'GB/s', of: (row) => row.gbytes?.toFixed(1) },
  { title: '% of copy', of: (row) => percent(row.percentOfCopy) },
  { title: 'samples/s', of: (row) => row.throughput?.toFixed(0) },
  { title: 'epochs', of: (row) => row.epochs?.toFixed(0) },
  {
    title: 'test accuracy',
    of: ({ accuracy }) => (accuracy === undefined ? undefined : `${(100 * accuracy).toFixed(2)} %`),
  },
  { title: '% of best library', of: (row) => percent(row.percentOfBest) },
]

/** Columns that no row fills are left out; each peer that was measured gets one of its own. */
function renderTable(rows: readonly Row[]): string {
  const peers = [...new Set(rows.flatMap((row) => Object.keys(row.ratios ?? {})))]
  const columns = [
    ...COLUMNS,
    ...peers.map(
      (peer): Column => ({
        title: `${peer} / forja`,
        of: ({ ratios }) => {
          const ratio = ratios?.[peer]
          return ratio && `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} .. ${ratio.max.toFixed(2)})`
        },
      }),
    ),
  ]
    .filter(({ of }) => rows.some((row) => of(row) !== undefined))
    // On the CPU, as most are, it goes without saying.
    .filter(({ of }) => of !== deviceOf || rows.some((row) => deviceOf(row) !== 'cpu'))
  const head = columns.map(({ title }) => `<th>${html(title)}</th>`).join('')
  const body = rows.map((row, i) => {
    const classes = [row.peer ? 'peer' : '', rows[i - 1]?.case === row.case ? '' : 'first'].filter(Boolean).join(' ')
    return `<tr class="${classes}">${columns.map(({ of }) => `<td>${html(of(row) ?? '')}</td>`).join('')}</tr>`
  })
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${body.join('\n')}\n</tbody></table></div>`
}

/** Text as it may stand between tags and in attributes. */
function html(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
