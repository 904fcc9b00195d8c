import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { type CsvOptions, csv } from '../../lib/data/csv.js'
import { runChildJson } from '../helpers/child.js'
import { temporaryFolder } from './mirror.js'

async function file(text: string | Uint8Array, name = 'table.csv'): Promise<string> {
  const path = join(await temporaryFolder(), name)
  await writeFile(path, text)
  return path
}

describe('csv', () => {
  it('reads numbers; the last column is the label', async () => {
    const set = await csv(await file('a,b,price\n1,2,10\n-3.5,4e2,20\n'))
    expect(set.fields).toMatchObject([
      { shape: [2], dtype: 'float32' },
      { shape: [1], dtype: 'float32' },
    ])
    expect(set.featureNames).toEqual(['a', 'b'])
    expect(set.x).toEqual(Float32Array.of(1, 2, -3.5, 400))
    expect(set.y).toEqual(Float32Array.of(10, 20))
  })

  it('makes classes of words, sorted', async () => {
    const set = await csv(await file('kind,a\nzebra,1\n"ant, red",2\nzebra,3\n'), { label: 'kind' })
    expect(set.classNames).toEqual(['ant, red', 'zebra'])
    expect(set.y).toEqual(Int32Array.of(1, 0, 1))
  })

  it('sorts classes that are numbers by value', async () => {
    const set = await csv(await file('1,10\n2,9\n3,10\n'), { header: false, target: 'class' })
    expect(set.classNames).toEqual(['9', '10'])
    expect(set.y).toEqual(Int32Array.of(1, 0, 1))
  })

  it('makes a column of every word of a category', async () => {
    const set = await csv(await file('c,a,y\nred,1,0\nblue,2,1\nred,3,0\n'), { categories: ['c'] })
    expect(set.featureNames).toEqual(['c=blue', 'c=red', 'a'])
    expect(set.x).toEqual(Float32Array.of(0, 1, 1, 1, 0, 2, 0, 1, 3))
  })

  it('chooses columns, reads gzip, BOM, CRLF, other delimiters and blank lines', async () => {
    const text = '\ufeffa;b;c\r\n1;2;3\r\n\r\n4; 5 ;6\r\n'
    const set = await csv(await file(gzipSync(text), 't.csv.gz'), { delimiter: ';', features: ['b'], label: 0 })
    expect(set.x).toEqual(Float32Array.of(2, 5))
    expect(set.y).toEqual(Float32Array.of(1, 4))
  })

  it('leaves out rows with empty cells, or fills in the mean', async () => {
    const path = await file('a,b,y\n1,?,5\n2,4,6\n6,,7\n9,8,\n')
    const dropped = await csv(path, { missing: 'drop', missingValues: ['?'] })
    expect([...dropped.x, ...dropped.y]).toEqual([2, 4, 6])
    const filled = await file('a,b,y\n1,?,5\n2,4,6\n6,8,7\n')
    expect((await csv(filled, { missing: 'mean', missingValues: ['?'] })).x).toEqual(Float32Array.of(1, 6, 2, 4, 6, 8))
  })

  it('standardises', async () => {
    const set = await csv(await file('a,b,y\n1,10,0\n3,10,0\n'), { standardize: true })
    expect(set.get(0).x).toEqual(Float32Array.of(-1, 0))
    expect(set.get(1).x).toEqual(Float32Array.of(1, 0))
  })

  const text = 'a,b,y\n1,2,3\n'
  const cases: [string, string, CsvOptions, string][] = [
    [
      'ragged rows',
      `${text}4,5\n`,
      {},
      "row 2 (line 3) has 2 cells; expected 3, as the header names: column 'y' has none",
    ],
    [
      'ragged rows without header',
      '1,2\n3,4,5\n',
      { header: false },
      'row 2 (line 2) has 3 cells; expected 2, as the first row has: cell 3 is of no column',
    ],
    ['words', `${text}4,five,6\n`, {}, "row 2 (line 3), column 'b': 'five' is no number"],
    ['no finite number', `${text}\n\n4,Infinity,6\n`, {}, "row 2 (line 5), column 'b': 'Infinity' is no number"],
    ['empty cells', `${text}4,,6\n`, {}, "row 2 (line 3), column 'b': the cell is empty"],
    ['empty labels', `${text}4,5,\n`, { missing: 'mean' }, "row 2 (line 3), column 'y': the cell is empty"],
    ['a label of words', `${text}4,5,six\n`, { target: 'number' }, "line 3, column 'y': 'six' is no number"],
    ['quotes that do not close', `${text}"4,5,6\n`, {}, 'row 2 (line 3) cannot be read: Quote Not Closed'],
    ['no rows', 'a,b,y\n', {}, ': no rows'],
    ['nothing but gaps', 'a,y\n,1\n', { missing: 'drop' }, ': every row has an empty cell'],
  ]
  it.each(cases)('%s are told with row and column', async (_, content, options, message) => {
    const path = await file(content)
    const call = csv(path, options)
    await expect(call).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    await expect(call).rejects.toThrow(message)
    await expect(call).rejects.toThrow(path)
  })

  const bad: [CsvOptions, string][] = [
    [{ label: 'z' }, "no column 'z'; there are 'a', 'b', 'y'"],
    [{ label: 3 }, 'label 3; expected a column from 0 to 2'],
    [{ categories: ['z'] }, "no column 'z'"],
    [{ features: ['y'] }, "expected at least one feature that is not the label 'y'"],
    [{ delimiter: '' }, "csv: delimiter ''; expected a character or several"],
    [{ features: 'a' as never }, "csv: features must be an array, got 'a'"],
    [{ missing: 'zero' as 'mean' }, "csv: missing 'zero'; expected 'error', 'drop' or 'mean'"],
  ]
  it.each(bad)('%j is an error', async (options, message) => {
    const call = csv(await file(text), options)
    await expect(call).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    await expect(call).rejects.toThrow(message)
  })

  it('keeps numbers, not texts: a table may be larger than the heap', async () => {
    const options = { nodeArgs: ['--max-old-space-size=24'] }
    const { length, last } = await runChildJson<{ length: number; last: number[] }>('large_table', options)
    expect({ length, last }).toEqual({ length: 100_000, last: [1.25, 2.5, 3.75, 4, 5, 6, 7] })
  })

  it('names a file that is not there, or no gzip', async () => {
    const folder = await temporaryFolder()
    await expect(csv(join(folder, 'none.csv'))).rejects.toThrow(/none\.csv: the file cannot be read: ENOENT/)
    await expect(csv(undefined as never)).rejects.toThrow('csv: the path of a file expected, got undefined')
    await expect(csv(join(folder, 'none.csv.gz'))).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    const call = csv(await file('a,b\n1,2\n', 'plain.csv.gz'))
    await expect(call).rejects.toThrow(/plain\.csv\.gz: row 1 \(line 1\) cannot be read: incorrect header check/)
  })
})
