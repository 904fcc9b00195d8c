/**
 * Tables of comma separated values (RFC 4180; gzip where the name ends in .gz): one row a sample, one column a feature,
 * one column the label. The file is read as a stream, so a large one does not hold up the event loop.
 */
import { createReadStream } from 'node:fs'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { CsvError, parse } from 'csv-parse'
import { allocate } from '../dtype.js'
import { describeGiven, ForjaError } from '../errors.js'
import { requireArray } from '../ops/check_call.js'
import { refuse } from '../ops/refuse.js'
import { checkChoice, checkOptions } from '../options.js'
import { type ArrayDataset, fromArrays, standardize } from './dataset.js'

export interface CsvOptions {
  /** The first row names the columns. Default true; otherwise they are called '0', '1' ... */
  header?: boolean
  /** The column to predict, by name or number from 0. Default: the last. */
  label?: string | number
  /** The columns to predict from, in this order. Default: all others. */
  features?: readonly string[]
  /** Columns of words: each becomes one column 'name=word' of zeros and ones for every word, sorted. */
  categories?: readonly string[]
  /** Whether labels are classes or numbers. Default: classes where one of them is no number. */
  target?: 'class' | 'number'
  /** A row with an empty cell is an error, left out, or filled with the column's mean. Default 'error'. */
  missing?: 'error' | 'drop' | 'mean'
  /** What counts as an empty cell besides ''; such as ['NA', '?']. */
  missingValues?: readonly string[]
  /** Default ','. */
  delimiter?: string
  /** Give every column mean 0 and standard deviation 1. Default false. */
  standardize?: boolean
}

const CSV = [
  'header',
  'label',
  'features',
  'categories',
  'target',
  'missing',
  'missingValues',
  'delimiter',
  'standardize',
] as const

/** What is read before labels and missing cells are settled. */
export interface Table {
  featureNames: string[]
  /** [rows, features]; NaN where the cell is empty. */
  x: Float32Array
  labels: string[]
  /** Where each row begins in the file, from 1. */
  lines: Int32Array
  labelName: string
}

/** A column of the file and what it becomes. */
interface Column {
  name: string
  place: number
  /** Of a column of words: those that came so far, and their numbers. */
  words?: Map<string, number>
}

/** What csv-parse gives: the cells, and how many lines (blank ones) came so far. */
interface Parsed {
  record: string[]
  info: { lines: number; empty_lines: number }
}

interface Row {
  header: string[]
  record: string[]
  line: number
}

/** Labels are kept as texts: as many fit into the memory that Node gives objects. */
const MOST_ROWS = 2 ** 26

/**
 * A data set of a CSV file: x float32 [rows, columns]; y int32 classes [rows], named by `classNames` and sorted, or
 * float32 [rows, 1]. `featureNames` are the columns.
 *
 * @throws ERR_FORMAT naming row (from 1, the header not counted), line and column of a cell that is empty or no number,
 *   or a row with too many or too few cells; ERR_ARGUMENT for a column that is not there.
 */
export async function csv(path: string, options: CsvOptions = {}): Promise<ArrayDataset> {
  checkOptions('csv', options, CSV)
  if (typeof path !== 'string') refuse('csv', 'ERR_ARGUMENT', `the path of a file expected, got ${describeGiven(path)}`)
  for (const name of ['features', 'categories', 'missingValues'] as const) {
    if (options[name] !== undefined) requireArray('csv', name, options[name])
  }
  const { delimiter = ',' } = options
  if (typeof delimiter !== 'string' || delimiter === '')
    refuse('csv', 'ERR_ARGUMENT', `delimiter ${describeGiven(delimiter)}; expected a character or several`)
  if (options.target !== undefined) checkChoice('csv', 'target', options.target, ['class', 'number'])
  const table = await readTable(path, options)
  const kept = options.missing === 'drop' ? dropIncomplete(table) : table
  if (options.missing === 'mean') fillMissing(kept.x, columnMeans(kept.x, kept.featureNames.length))
  const set = toDataset(path, kept, options.target)
  return options.standardize ? set.normalized(standardize(set.x, set.fields[0].shape)) : set
}

/** Numbers of which more may come. */
class Growing<D extends 'float32' | 'int32'> {
  #memory: ReturnType<typeof allocate<D>>
  #length = 0

  constructor(private readonly dtype: D) {
    this.#memory = allocate(dtype, 1024)
  }

  push(value: number): void {
    if (this.#length === this.#memory.length) {
      const larger = allocate(this.dtype, 2 * this.#length)
      larger.set(this.#memory)
      this.#memory = larger
    }
    this.#memory[this.#length++] = value
  }

  all(): ReturnType<typeof allocate<D>> {
    return this.#memory.slice(0, this.#length) as ReturnType<typeof allocate<D>>
  }
}

/** Features as numbers, labels as text. Throws for empty cells unless `missing` says otherwise. */
export async function readTable(path: string, options: CsvOptions): Promise<Table> {
  const { missing = 'error', missingValues = [] } = options
  checkChoice('csv', 'missing', missing, ['error', 'drop', 'mean'])
  const empty = new Set(['', ...missingValues])
  let columns: ReturnType<typeof chooseColumns> | undefined
  // Cells become numbers as they come: their texts would take ten times the memory.
  const cells = new Growing('float32')
  const lines = new Growing('int32')
  const labels: string[] = []
  for await (const { header, record, line } of readRows(path, options)) {
    columns ??= chooseColumns(path, header, options)
    const { label, features } = columns
    if (labels.length === MOST_ROWS) throw new ForjaError('ERR_FORMAT', `${path}: more than ${MOST_ROWS} rows`)
    const where = (column: Column) => `${path}: row ${labels.length + 1} (line ${line}), column '${column.name}'`
    const textOf = (column: Column): string | undefined => {
      const cell = record[column.place]!
      if (!empty.has(cell)) return cell
      if (missing !== 'error' && column !== label) return undefined
      if (missing === 'drop') return undefined
      throw new ForjaError('ERR_FORMAT', `${where(column)}: the cell is empty`, {
        hint: column === label ? "missing: 'drop' leaves such rows out" : "missing: 'drop' or missing: 'mean'",
      })
    }
    for (const column of features) {
      const text = textOf(column)
      if (text === undefined) cells.push(Number.NaN)
      else cells.push(column.words ? numberOfWord(column.words, text) : toNumber(text, () => where(column)))
    }
    labels.push(textOf(label) ?? '')
    lines.push(line)
  }
  if (columns === undefined) throw new ForjaError('ERR_FORMAT', `${path}: no rows`)
  const { label, features } = columns
  return { ...spreadWords(cells.all(), features), labels, lines: lines.all(), labelName: label.name }
}

/** In the order in which they come. */
function numberOfWord(words: Map<string, number>, word: string): number {
  const known = words.get(word)
  if (known !== undefined) return known
  words.set(word, words.size)
  return words.size - 1
}

/** A column of words becomes one for each, sorted. A word that is missing leaves NaN: mean fills in how frequent each is. */
function spreadWords(cells: Float32Array, features: readonly Column[]): Pick<Table, 'featureNames' | 'x'> {
  const sorted = features.map(({ words }) => words && [...words.keys()].sort())
  const featureNames = features.flatMap(({ name }, i) => sorted[i]?.map((word) => `${name}=${word}`) ?? [name])
  if (sorted.every((words) => words === undefined)) return { featureNames, x: cells }
  /** Of each word, by its number. */
  const places = features.map(({ words }, i) => {
    const at = new Int32Array(words?.size ?? 0)
    for (const [place, word] of (sorted[i] ?? []).entries()) at[words!.get(word)!] = place
    return at
  })
  const x = allocate('float32', (cells.length / features.length) * featureNames.length)
  for (let from = 0, at = 0; from < cells.length; ) {
    for (const [i, { words }] of features.entries()) {
      const value = cells[from++]!
      if (words === undefined) x[at++] = value
      else {
        if (Number.isNaN(value)) x.fill(Number.NaN, at, at + words.size)
        else x[at + places[i]![value]!] = 1
        at += words.size
      }
    }
  }
  return { featureNames, x }
}

/** The rows in which no feature and no label is missing. */
export function dropIncomplete(table: Table): Table {
  const width = table.featureNames.length
  const kept = table.labels.flatMap((label, row) =>
    label === '' || table.x.subarray(row * width, (row + 1) * width).some(Number.isNaN) ? [] : [row],
  )
  const x = new Float32Array(kept.length * width)
  for (const [i, row] of kept.entries()) x.set(table.x.subarray(row * width, (row + 1) * width), i * width)
  return {
    ...table,
    x,
    labels: kept.map((row) => table.labels[row]!),
    lines: Int32Array.from(kept, (row) => table.lines[row]!),
  }
}

/** Of the numbers that are there; 0 for a column without any. */
export function columnMeans(x: ArrayLike<number>, width: number): Float64Array {
  const sums = new Float64Array(width)
  const counts = new Float64Array(width)
  for (let i = 0; i < x.length; i++) {
    if (Number.isNaN(x[i])) continue
    sums[i % width]! += x[i]!
    counts[i % width]!++
  }
  return sums.map((sum, column) => (counts[column]! > 0 ? sum / counts[column]! : 0))
}

/** Puts the column's entry of `means` for every NaN. */
export function fillMissing(x: { [index: number]: number; readonly length: number }, means: Float64Array): void {
  for (let i = 0; i < x.length; i++) if (Number.isNaN(x[i])) x[i] = means[i % means.length]!
}

/** @param target as {@link CsvOptions} has it */
export function toDataset(path: string, table: Table, target?: CsvOptions['target']): ArrayDataset {
  const { x, labels, featureNames } = table
  const shape = [featureNames.length]
  if (labels.length === 0) throw new ForjaError('ERR_FORMAT', `${path}: every row has an empty cell`)
  const numbers = labels.map(Number)
  if (target === 'number' || (target === undefined && numbers.every(Number.isFinite))) {
    const bad = numbers.findIndex((value) => !Number.isFinite(value))
    if (bad >= 0) {
      throw new ForjaError(
        'ERR_FORMAT',
        `${path}: line ${table.lines[bad]}, column '${table.labelName}': '${labels[bad]}' is no number`,
        { hint: "target: 'class' makes classes of words." },
      )
    }
    return fromArrays({ x, y: Float32Array.from(numbers), shape, targetShape: [1], featureNames })
  }
  const byValue = (a: string, b: string) => Number(a) - Number(b)
  const classNames = [...new Set(labels)].sort(numbers.every(Number.isFinite) ? byValue : undefined)
  const index = new Map(classNames.map((name, i) => [name, i]))
  return fromArrays({ x, y: Int32Array.from(labels, (label) => index.get(label)!), shape, classNames, featureNames })
}

async function* readRows(path: string, options: CsvOptions): AsyncGenerator<Row, undefined> {
  const parser = parse({
    bom: true,
    trim: true,
    info: true,
    skip_empty_lines: true,
    // Ragged rows are reported below, with the row's number.
    relax_column_count: true,
    delimiter: options.delimiter ?? ',',
  })
  const file = createReadStream(path)
  const source: Readable = path.endsWith('.gz') ? pipeline(file, createGunzip(), () => {}) : file
  // Errors of any stage destroy the parser with them, which the loop below throws.
  pipeline(source, parser, () => {})
  let header: string[] | undefined
  let row = 1
  let line = 1
  let blank = 0
  const records = (parser as AsyncIterable<Parsed>)[Symbol.asyncIterator]()
  const next = () =>
    records.next().catch((cause: NodeJS.ErrnoException) => {
      const { message, code } = cause
      const unreadable = cause instanceof CsvError || code?.startsWith('Z_')
      throw new ForjaError(
        unreadable ? 'ERR_FORMAT' : 'ERR_ARGUMENT',
        `${path}: ${unreadable ? `row ${row} (line ${line}) cannot be read` : 'the file cannot be read'}: ${message}`,
        { cause },
      )
    })
  try {
    for (let found = await next(); !found.done; found = await next()) {
      const { record, info } = found.value
      const begin = line + info.empty_lines - blank
      line = info.lines + 1
      blank = info.empty_lines
      if (header === undefined) {
        header = options.header === false ? record.map((_, i) => String(i)) : record
        if (options.header !== false) continue
      }
      if (record.length !== header.length) {
        const name = header[record.length]
        throw new ForjaError(
          'ERR_FORMAT',
          `${path}: row ${row} (line ${begin}) has ${record.length} cells; expected ${header.length}, ` +
            `as ${options.header === false ? 'the first row has' : 'the header names'}: ` +
            `${name === undefined ? `cell ${header.length + 1} is of no column` : `column '${name}' has none`}`,
        )
      }
      yield { header, record, line: begin }
      row++
    }
  } finally {
    // Closes the file where its end was not reached.
    parser.destroy()
  }
}

function chooseColumns(path: string, header: readonly string[], options: CsvOptions) {
  const { label = header.length - 1, categories = [] } = options
  const place = (name: string): number => {
    const found = header.indexOf(name)
    if (found >= 0) return found
    throw new ForjaError('ERR_ARGUMENT', `${path}: no column '${name}'; there are '${header.join("', '")}'`)
  }
  const labelPlace = typeof label === 'string' ? place(label) : label
  if (!Number.isInteger(labelPlace) || labelPlace < 0 || labelPlace >= header.length) {
    throw new ForjaError('ERR_ARGUMENT', `${path}: label ${label}; expected a column from 0 to ${header.length - 1}`)
  }
  const words = new Set(categories.map(place))
  const places = options.features?.map(place) ?? header.map((_, i) => i).filter((i) => i !== labelPlace)
  if (places.length === 0 || places.includes(labelPlace)) {
    throw new ForjaError(
      'ERR_ARGUMENT',
      `${path}: expected at least one feature that is not the label '${header[labelPlace]}'`,
    )
  }
  const features = places.map(
    (i): Column => ({ name: header[i]!, place: i, ...(words.has(i) ? { words: new Map<string, number>() } : {}) }),
  )
  return { label: { name: header[labelPlace]!, place: labelPlace } as Column, features }
}

function toNumber(cell: string, place: () => string): number {
  const value = Number(cell)
  if (Number.isFinite(value)) return value
  throw new ForjaError('ERR_FORMAT', `${place()}: '${cell}' is no number`, {
    hint: 'columns of words are named in categories; cells that stand for nothing in missingValues',
  })
}
