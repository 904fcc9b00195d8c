/** Rows as pictures: bars a case, and the roofline, where a kernel's speed is held against what memory allows. */
import { deviceOf, type Row } from '../../lib/bench/row.js'
import type { BenchResult } from '../../lib/bench/run.js'
import { plot } from '../../lib/index.js'

export interface Figure {
  /** Of the file, without an ending. */
  readonly name: string
  readonly caption: string
  readonly chart: plot.Chart
}

/** Nothing to draw: a result may lack what a picture needs. */
const NONE: Figure[] = []

/** forja's variants in the colours of hot iron, from dark to bright; peers in cold ones. */
const COLOURS: Readonly<Record<string, string>> = {
  naive: '#5c2a1e',
  blocked: '#8f3a1d',
  im2col: '#8f3a1d',
  blas: '#b98a5e',
  implicit: '#e8590c',
  simd: '#e8590c',
  forja: '#e8590c',
  winograd: '#fab005',
  winograd2x2: '#f59f00',
  pytorch: '#4263a5',
  openblas: '#57a0a8',
  'openblas-skylakex': '#2f7480',
  onnxruntime: '#7d8fb3',
  'tfjs-wasm': '#b8c0cc',
}
const OTHER_COLOUR = '#e8590c'
/** In the order in which a bench names them. */
const DEVICE_COLOURS = ['#4263a5', '#e8590c', '#fab005', '#5c2a1e']

const CONFIG = {
  font: 'system-ui, sans-serif',
  axis: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: 'normal', gridColor: '#ececec', domainColor: '#999' },
  legend: { labelFontSize: 11, orient: 'top', columns: 5 },
  view: { stroke: null },
  bar: { cornerRadiusEnd: 2 },
} as const

function figure(name: string, caption: string, spec: object): Figure[] {
  const chart = new plot.Chart({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    config: CONFIG,
    ...spec,
  })
  return [{ name, caption, chart }]
}

function colour(field: string, names: readonly string[]) {
  const range = names.map((name) => COLOURS[name] ?? OTHER_COLOUR)
  return { field, type: 'nominal', title: null, scale: { domain: names, range } }
}

/** Names in the order in which they first come, forja's before the peers'. */
function contenders(rows: readonly Row[]): string[] {
  const names = (peer: boolean) => rows.filter((row) => (row.peer === true) === peer).map((row) => row.variant)
  return [...new Set([...names(false), ...names(true)])]
}

interface Measure {
  readonly title: string
  readonly of: (row: Row) => number | undefined
  /** A line across the bars. */
  readonly mark?: { readonly at: number; readonly label: string }
}

/** One group of bars a case, one bar a contender. */
function caseBars(name: string, caption: string, rows: readonly Row[], measure: Measure, cases: (row: Row) => string) {
  const values = rows
    .map((row) => ({ case: cases(row), contender: row.variant, value: measure.of(row) }))
    .filter((bar): bar is typeof bar & { value: number } => bar.value !== undefined)
  if (values.length === 0) return NONE
  const names = contenders(rows)
  const groups = [...new Set(values.map((bar) => bar.case))]
  const y = { field: 'case', type: 'nominal', sort: groups, title: null, axis: { labelLimit: 300 } }
  const offset = { field: 'contender', type: 'nominal', sort: names, scale: { domain: names } }
  const x = { field: 'value', type: 'quantitative', title: measure.title }
  const layers: object[] = [
    { data: { values }, mark: 'bar', encoding: { y, yOffset: offset, x, color: colour('contender', names) } },
  ]
  if (measure.mark) {
    const data = { values: [measure.mark] }
    const at = { field: 'at', type: 'quantitative' }
    layers.push(
      { data, mark: { type: 'rule', strokeDash: [4, 3], color: '#444' }, encoding: { x: at } },
      {
        data,
        mark: { type: 'text', align: 'right', dx: -4, dy: 8, fontSize: 10, color: '#444', baseline: 'middle' },
        encoding: { x: at, y: { value: 0 }, text: { field: 'label' } },
      },
    )
  }
  return figure(name, caption, { width: 560, height: { step: names.length > 3 ? 8 : 10 }, layer: layers })
}

/** How many times as long each peer takes, with the smallest and the largest of the turns. */
function ratioBars(name: string, caption: string, rows: readonly Row[]): Figure[] {
  const values = rows.flatMap((row) =>
    Object.entries(row.ratios ?? {}).map(([peer, ratio]) => ({ case: row.case, peer, ...ratio })),
  )
  if (values.length === 0) return NONE
  const names = [...new Set(values.map((bar) => bar.peer))]
  const y = { field: 'case', type: 'nominal', sort: null, title: null, axis: { labelLimit: 300 } }
  const yOffset = { field: 'peer', type: 'nominal', sort: names, scale: { domain: names } }
  const quantity = (field: string) => ({ field, type: 'quantitative', title: "the peer's time over forja's" })
  return figure(name, caption, {
    width: 560,
    height: { step: 14 },
    layer: [
      {
        data: { values },
        mark: 'bar',
        encoding: { y, yOffset, x: quantity('median'), color: colour('peer', names) },
      },
      {
        data: { values },
        mark: { type: 'rule', color: '#222' },
        encoding: { y, yOffset, x: quantity('min'), x2: { field: 'max' } },
      },
      {
        data: { values: [{ at: 1 }] },
        mark: { type: 'rule', strokeDash: [4, 3], color: '#444' },
        encoding: { x: { field: 'at', type: 'quantitative' } },
      },
    ],
  })
}

/** Speed over operations a byte, below the roof that bandwidth and multiply-adds make. */
function roofline(
  name: string,
  rows: readonly Row[],
  { fmaGflops, copyGbytes }: { fmaGflops: number; copyGbytes: number },
) {
  const points = rows
    .filter((row) => row.gflops !== undefined && row.gbytes !== undefined)
    .map((row) => ({
      intensity: row.gflops! / row.gbytes!,
      gflops: row.gflops!,
      who: row.peer ? row.variant : 'forja',
    }))
  if (points.length === 0) return NONE
  const names = [...new Set(points.map((point) => point.who))]
  const intensities = points.map((point) => point.intensity)
  const ridge = fmaGflops / copyGbytes
  const low = Math.min(...intensities, ridge) / 2
  const high = Math.max(...intensities, ridge) * 2
  const roof = [low, ridge, high].map((intensity) => ({
    intensity,
    gflops: Math.min(fmaGflops, intensity * copyGbytes),
  }))
  const axis = (field: string, title: string) => ({ field, type: 'quantitative', title, scale: { type: 'log' } })
  const x = {
    ...axis('intensity', 'operations a byte that must be moved'),
    scale: { type: 'log', domain: [low, high] },
  }
  const y = axis('gflops', 'GFLOP/s')
  return figure(
    name,
    'Roofline: the slope is the measured copy bandwidth, the flat part the measured multiply-add peak. ' +
      'Winograd does less than the operations that are counted and may rise above it; so may operands that stay in the caches on the slope.',
    {
      width: 560,
      height: 340,
      layer: [
        { data: { values: roof }, mark: { type: 'line', color: '#444', strokeWidth: 2 }, encoding: { x, y } },
        {
          data: { values: points },
          mark: { type: 'point', filled: true, size: 45, opacity: 0.75 },
          encoding: { x, y, color: colour('who', names) },
        },
      ],
    },
  )
}

/** Samples a second over the size of the batch, a line a device, a panel a network. */
function devicesOverBatches(name: string, rows: readonly Row[]): Figure[] {
  const values = rows.flatMap((row) => {
    const [, model, batch] = /^(\w+) b(\d+)$/.exec(row.case) ?? []
    return model === undefined || row.throughput === undefined
      ? []
      : [{ model, batch: Number(batch), device: deviceOf(row), samples: row.throughput }]
  })
  if (values.length === 0) return NONE
  const devices = [...new Set(values.map(({ device }) => device))]
  const log = (field: string, title: string, more: object = {}) => ({
    field,
    type: 'quantitative',
    title,
    scale: { type: 'log', ...more },
  })
  const batches = [...new Set(values.map(({ batch }) => batch))]
  const x = { ...log('batch', 'batch size', { base: 2, nice: false }), axis: { values: batches, grid: false } }
  const range = devices.map((_, i) => DEVICE_COLOURS[i % DEVICE_COLOURS.length]!)
  const color = { field: 'device', type: 'nominal', title: null, scale: { domain: devices, range } }
  return figure(name, 'Samples a second of each device, by network and size of the batch; both axes are logarithmic.', {
    data: { values },
    facet: { field: 'model', type: 'nominal', title: null, sort: [...new Set(values.map(({ model }) => model))] },
    columns: 2,
    spec: {
      width: 250,
      height: 170,
      mark: { type: 'line', point: true },
      encoding: { x, y: log('samples', 'samples/s'), color },
    },
    resolve: { scale: { y: 'independent' } },
  })
}

/** The figures of one result file. `name` begins the names of their files. */
export function figuresOf(name: string, { command, machine, rows }: BenchResult): Figure[] {
  const { fmaGflops, copyGbytes } = machine
  const suite = rows[0]?.suite
  const speed: Measure = {
    title: 'GFLOP/s',
    of: (row) => row.gflops,
    mark: fmaGflops === undefined ? undefined : { at: fmaGflops, label: 'multiply-add peak' },
  }
  const whole = (row: Row) => row.case
  if (command.includes('--ladder')) return caseBars(name, 'From the naive loops to the fastest.', rows, speed, whole)
  const own = rows.filter((row) => !row.peer)
  if (new Set(own.map(deviceOf)).size > 1) return devicesOverBatches(`${name}-devices`, own)
  if (suite === 'train' || suite === 'infer') {
    const what = suite === 'train' ? 'a training step' : 'a forward pass'
    return [
      ...ratioBars(`${name}-ratios`, `How many times as long a peer takes for ${what}.`, rows),
      ...caseBars(`${name}-gflops`, `Speed of ${what}, and the peak.`, rows, speed, whole),
    ]
  }
  if (suite === 'ops') {
    const share: Measure = {
      title: '% of the measured copy bandwidth',
      of: (row) => row.percentOfCopy,
      mark: { at: 100, label: 'copy' },
    }
    return caseBars(`${name}-copy`, 'Bytes that must be moved, against a plain copy.', rows, share, whole)
  }
  const bars = [...groupsOf(rows)].flatMap(([group, members]) => {
    if (group === '') return caseBars(name, 'Matrix products, M×K×N.', members, speed, whole)
    const [network, direction] = group.split(' ') as [string, string]
    const shape = (row: Row) => row.case.slice(network.length + 1, -direction.length - 1)
    return caseBars(
      `${name}-${network}-${direction}`,
      `Convolutions of ${network}, ${direction}.`,
      members,
      speed,
      shape,
    )
  })
  const roof = fmaGflops && copyGbytes ? roofline(`${name}-roofline`, rows, { fmaGflops, copyGbytes }) : NONE
  return [...bars, ...roof]
}

/** Convolutions by network and direction, the first and last words of their cases' names; products all together. */
function groupsOf(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const words = row.case.split(' ')
    const group = row.suite === 'conv' ? `${words[0]} ${words.at(-1)}` : ''
    groups.set(group, [...(groups.get(group) ?? []), row])
  }
  return groups
}
