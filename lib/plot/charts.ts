/**
 * The charts that lessons and histories need. Anything else: `new Chart(spec)` with a Vega-Lite specification.
 */
import type { TopLevelSpec } from 'vega-lite'
import { describeGiven, ForjaError } from '../errors.js'
import { encodePng } from '../io/png.js'
import { requireArray } from '../ops/check_call.js'
import { refuse } from '../ops/refuse.js'
import { checkChoice, checkOptions } from '../options.js'
import { Chart } from './chart.js'

/** Of a drawing area, in pixels. */
const WIDTH = 480

const SCALES = ['linear', 'log'] as const

/** y over 1, 2, 3 …, or (x, y) pairs. */
export type Series = readonly number[] | readonly (readonly [x: number, y: number])[]

export interface AxisTitles {
  title?: string
  /** What the axes show. */
  x?: string
  y?: string
  /** Of the drawing area, in pixels. Default 480 by 300. */
  width?: number
  height?: number
}

export interface LinesOptions extends AxisTitles {
  /** By name, in the order of the legend. */
  series: Readonly<Record<string, Series>>
  /** Default 'linear'; a logarithmic axis has room for numbers above 0 only. */
  xScale?: (typeof SCALES)[number]
  yScale?: (typeof SCALES)[number]
  /** A dot at every point. Default true. */
  dots?: boolean
}

export interface PointsOptions extends AxisTitles {
  /** (x, y) pairs by class. */
  series: Readonly<Record<string, readonly (readonly [x: number, y: number])[]>>
  /** Curves drawn over the points, such as a decision boundary. */
  lines?: Readonly<Record<string, readonly (readonly [x: number, y: number])[]>>
}

export interface BarsOptions extends AxisTitles {
  /** By label, in the order they are drawn. */
  values: Readonly<Record<string, number>>
}

export interface HeatmapOptions extends AxisTitles {
  /** Rows from the top, such as `await tensor.array()`. */
  values: readonly (readonly number[])[]
  /** Names of rows and columns. Default: their indices. */
  rows?: readonly string[]
  columns?: readonly string[]
  /** Default 'viridis'; 'greys' for images. */
  scheme?: string
  /** The value written into each cell. Default false. */
  numbers?: boolean
}

export interface ImagesOptions {
  title?: string
  /** Each (H, W), rows from the top; drawn side by side. */
  images: readonly (readonly (readonly number[])[])[]
  /** Under each image. */
  labels?: readonly string[]
  /** Images in a row. Default 10. */
  columns?: number
  /** Pixels on the screen for one of the image. Default 3. */
  scale?: number
}

const AXES = ['title', 'x', 'y', 'width', 'height'] as const

const SCHEMA = 'https://vega.github.io/schema/vega-lite/v6.json'
/** Okabe and Ito's, which colour-blind eyes tell apart too, without yellow, which is lost on white. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#000000']
/** Of the first seven series, the next seven, and so on. */
const DASHES = [
  [1, 0],
  [6, 3],
  [2, 2],
] as const
const SHAPES = ['circle', 'square', 'triangle-up'] as const
const CONFIG = { range: { category: COLOURS }, mark: { color: COLOURS[0] }, legend: { labelLimit: 0 } } // names in full
const FRAME = { $schema: SCHEMA, background: 'white', padding: 12, config: CONFIG } as const

interface Row {
  x: number
  y: number
  series: string
}

/**
 * Lines over a shared x axis, one a series.
 *
 * @throws ERR_ARGUMENT for a number that is not finite, and for one of 0 or less where the scale is 'log'
 */
export function lines(options: LinesOptions): Chart {
  checkOptions('plot.lines', options, ['series', 'xScale', 'yScale', 'dots', ...AXES])
  const { series, xScale = 'linear', yScale = 'linear', dots = true } = options
  checkChoice('plot.lines', 'xScale', xScale, SCALES)
  checkChoice('plot.lines', 'yScale', yScale, SCALES)
  const values = rowsOf(series, 'lines')
  if (xScale === 'log') checkPositive(values, 'x')
  if (yScale === 'log') checkPositive(values, 'y')
  const { x, y } = axes(
    options,
    xScale === 'log' ? logarithmic(values.map((row) => row.x)) : undefined,
    yScale === 'log' ? logarithmic(values.map((row) => row.y)) : undefined,
  )
  // Between two epochs there is nothing to mark.
  const whole = xScale !== 'log' && values.every((row) => Number.isInteger(row.x))
  const encoding = {
    x: whole ? { ...x, axis: { tickMinStep: 1 } } : x,
    y,
    ...colour(series, { symbolType: 'stroke', symbolSize: 400 }),
    ...beyondColours(series, 'strokeDash', DASHES),
  }
  return chart(options, { data: { values }, mark: { type: 'line', point: dots }, encoding })
}

/** A scatter of points, one colour a class, with curves over it. */
export function points(options: PointsOptions): Chart {
  const { series, lines: curves = {} } = checkOptions('plot.points', options, ['series', 'lines', ...AXES])
  const encoding = axes(options)
  return chart(options, {
    layer: [
      {
        data: { values: rowsOf(series, 'points') },
        mark: { type: 'point', filled: true, opacity: 0.7 },
        encoding: { ...encoding, ...colour(series), ...beyondColours(series, 'shape', SHAPES) },
      },
      ...Object.entries(curves).map(([name, line]) => ({
        data: { values: rowsOf({ [name]: line }, 'points') },
        mark: { type: 'line', color: 'black' },
        encoding: { ...encoding, order: { field: 'index', type: 'quantitative' } },
      })),
    ],
  })
}

/** One bar a label. */
export function bars(options: BarsOptions): Chart {
  checkOptions('plot.bars', options, ['values', ...AXES])
  requireRecord('plot.bars', 'values', options.values)
  const values = Object.entries(options.values).map(([label, value]) => ({ label, value: checked(value, 'bars') }))
  return chart(options, {
    data: { values },
    mark: 'bar',
    encoding: {
      x: { field: 'label', type: 'nominal', sort: null, title: options.x ?? null, axis: { labelAngle: 0 } },
      y: { field: 'value', type: 'quantitative', title: options.y ?? null },
    },
  })
}

/** A matrix, one coloured cell an element: a confusion matrix, weights, a decision surface. */
export function heatmap(options: HeatmapOptions): Chart {
  checkOptions('plot.heatmap', options, ['values', 'rows', 'columns', 'scheme', 'numbers', ...AXES])
  const { values, rows, columns, scheme = 'viridis', numbers = false } = options
  requireRows('plot.heatmap', 'values', values)
  const cells = values.flatMap((line, i) =>
    line.map((value, j) => ({ row: rows?.[i] ?? i, column: columns?.[j] ?? j, value: checked(value, 'heatmap') })),
  )
  const side = { sort: null, type: 'ordinal' } as const
  // Names wider than their column, at 6 pixels a letter, are turned so that none is left out.
  const cell = (options.width ?? WIDTH) / Math.max(values[0]?.length ?? 0, 1)
  const turned = cell >= 12 && (columns ?? []).some((name) => 6 * name.length > cell)
  const across = turned ? { labelAngle: -45, labelOverlap: false } : { labelAngle: 0, labelOverlap: true }
  const encoding = {
    x: { field: 'column', title: options.x ?? null, axis: across, ...side },
    y: { field: 'row', title: options.y ?? null, axis: { labelOverlap: true }, ...side },
  }
  const colours = {
    mark: 'rect',
    encoding: { ...encoding, color: { field: 'value', type: 'quantitative', scale: { scheme }, title: null } },
  }
  if (!numbers) return chart(options, { data: { values: cells }, ...colours })
  const largest = cells.reduce((most, { value }) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  const text = { field: 'value', type: 'quantitative' }
  // Viridis ends in yellow: dark letters there, white ones on the rest.
  const ink = { condition: { test: `datum.value > ${0.6 * largest}`, value: 'black' }, value: 'white' }
  return chart(options, {
    data: { values: cells },
    layer: [colours, { mark: 'text', encoding: { ...encoding, text, color: ink } }],
  })
}

/** Grey images side by side, each from its own darkest to its own brightest value. */
export function images(options: ImagesOptions): Chart {
  checkOptions('plot.images', options, ['title', 'images', 'labels', 'columns', 'scale'])
  const { images: list, labels = [], columns = 10, scale = 3, title } = options
  requireArray('plot.images', 'images', list)
  const spec = list.map((image, i) => {
    requireRows('plot.images', `images[${i}]`, image)
    const ragged = image.findIndex((row) => row.length !== image[0]!.length)
    if (ragged >= 0)
      refuse(
        'plot.images',
        'ERR_SHAPE',
        `images[${i}][${ragged}] has ${image[ragged]!.length} pixels, images[${i}][0] ${image[0]!.length}`,
      )
    const [width, height] = [(image[0]?.length ?? 0) * scale, image.length * scale]
    return {
      data: { values: [{ url: pictureOf(image, Math.max(Math.ceil(scale), 1)) }] },
      title: labels[i] ?? '',
      width,
      height,
      mark: { type: 'image', width, height, aria: false },
      encoding: {
        url: { field: 'url', type: 'nominal' },
        x: { value: width / 2 },
        y: { value: height / 2 },
      },
    }
  })
  return new Chart({
    ...FRAME,
    ...(title === undefined ? {} : { title }),
    columns,
    concat: spec,
    spacing: 6,
    config: { ...CONFIG, view: { stroke: null } },
  } as unknown as TopLevelSpec)
}

/** A PNG as URL: black to white, every pixel `size` by `size`, so that no viewer blurs it. */
function pictureOf(image: readonly (readonly number[])[], size: number): string {
  const values = image.flat().map((value) => checked(value, 'images'))
  const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity])
  const width = image[0]?.length ?? 0
  const pixels = new Uint8Array(values.length * size * size)
  for (let p = 0; p < pixels.length; p++) {
    const [row, column] = [Math.floor(p / (width * size)), p % (width * size)]
    const value = values[Math.floor(row / size) * width + Math.floor(column / size)]!
    pixels[p] = high > low ? Math.round((255 * (value - low)) / (high - low)) : 0
  }
  const png = encodePng(pixels, image.length * size, width * size, 1)
  return `data:image/png;base64,${Buffer.from(png).toString('base64')}`
}

/** Charts in a row, each with its own axes; `sharedLegend` where they show the same series. */
export function sideBySide(charts: readonly Chart[], options: { title?: string; sharedLegend?: boolean } = {}): Chart {
  const { title, sharedLegend = false } = checkOptions('plot.sideBySide', options, ['title', 'sharedLegend'])
  requireArray('plot.sideBySide', 'charts', charts)
  const hconcat = charts.map((chart, i) => {
    if (!(chart instanceof Chart))
      refuse('plot.sideBySide', 'ERR_ARGUMENT', `charts[${i}] must be a Chart, got ${describeGiven(chart)}`)
    const {
      $schema: _schema,
      background: _background,
      padding: _padding,
      config: _config,
      ...rest
    } = chart.spec as TopLevelSpec
    return rest
  })
  const heading = title === undefined ? {} : { title: { text: title, anchor: 'middle', offset: 14 } }
  const legend = sharedLegend ? 'shared' : 'independent'
  const resolve = { scale: { color: legend, strokeDash: legend, shape: legend } }
  return new Chart({ ...FRAME, ...heading, hconcat, resolve } as unknown as TopLevelSpec)
}

function chart({ title, width = WIDTH, height = 300 }: AxisTitles, body: object): Chart {
  return new Chart({ ...FRAME, ...(title === undefined ? {} : { title }), width, height, ...body } as TopLevelSpec)
}

const LINEAR = { scale: { type: 'linear', zero: false } }

/** Numbers are written at powers of ten, and over few of these also at twice and five times as much. */
function logarithmic(values: readonly number[]) {
  const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, 0])
  const digits = high / low > 1e3 ? '[1]' : '[1, 2, 5]'
  const digit = 'round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)))'
  const labelExpr = `indexof(${digits}, ${digit}) < 0 ? '' : format(datum.value, '~g')`
  return { scale: { type: 'log' }, axis: { labelExpr, labelOverlap: false } }
}

function axes({ x, y }: AxisTitles, xLook: object = LINEAR, yLook: object = LINEAR) {
  const axis = (field: string, title: string | undefined, look: object) => ({
    field,
    type: 'quantitative',
    title: title ?? null,
    ...look,
  })
  return { x: axis('x', x, xLook), y: axis('y', y, yLook) }
}

/** A legend where there is something to tell apart. */
function colour(series: object, legend: object = {}) {
  const names = Object.keys(series)
  return names.length < 2 ? {} : { color: { field: 'series', type: 'nominal', sort: names, title: null, legend } }
}

/** Tells series apart that have the same colour, where there are more of them than colours. */
function beyondColours(series: object, channel: 'strokeDash' | 'shape', looks: readonly unknown[]) {
  const names = Object.keys(series)
  if (names.length <= COLOURS.length) return {}
  const range = names.map((_, i) => looks[Math.floor(i / COLOURS.length) % looks.length])
  return { [channel]: { field: 'series', type: 'nominal', scale: { domain: names, range }, sort: names, title: null } }
}

function rowsOf(series: Readonly<Record<string, Series>>, who: string): (Row & { index: number })[] {
  requireRecord(`plot.${who}`, 'series', series)
  return Object.entries(series).flatMap(([name, values]) => {
    requireArray(`plot.${who}`, `series '${name}'`, values)
    return values.map((value, index) => {
      const [x, y] = Array.isArray(value) ? (value as [number, number]) : [index + 1, value as number]
      return { x: checked(x, who), y: checked(y, who), series: name, index }
    })
  })
}

function requireRecord(what: string, name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return
  refuse(what, 'ERR_ARGUMENT', `${name} must be an object, got ${describeGiven(value)}`)
}

function requireRows(what: string, name: string, rows: unknown): void {
  requireArray(what, name, rows)
  for (const [i, row] of (rows as unknown[]).entries()) requireArray(what, `${name}[${i}]`, row)
}

/** A single 0 would put all of a logarithmic axis into one place. */
function checkPositive(rows: readonly (Row & { index: number })[], axis: 'x' | 'y'): void {
  const bad = rows.find((row) => row[axis] <= 0)
  if (!bad) return
  throw new ForjaError(
    'ERR_ARGUMENT',
    `plot.lines: ${axis} of '${bad.series}'[${bad.index}] is ${bad[axis]}; a logarithmic axis shows numbers above 0`,
    { hint: `leave such points out, or use ${axis}Scale: 'linear'` },
  )
}

/** Vega draws nothing for NaN and says nothing. */
function checked(value: number, who: string): number {
  if (!Number.isFinite(value)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `plot.${who}: ${describeGiven(value)} cannot be drawn; finite numbers were expected`,
    )
  }
  return value
}
