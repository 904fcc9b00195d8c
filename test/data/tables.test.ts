import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { findFile } from '../../lib/data/cache.js'
import { SOURCES, type Source } from '../../lib/data/sources.js'
import { digits, housing } from '../../lib/data/tables.js'
import { temporaryFolder } from './mirror.js'

async function folder(name: string, file: string, content: string | Uint8Array): Promise<string> {
  const dir = await temporaryFolder()
  await mkdir(join(dir, name))
  await writeFile(join(dir, name, file), content)
  return dir
}

const HEADER =
  'longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,median_income,median_house_value,ocean_proximity\n'
/** Ten districts; 3 and 7 lack total_bedrooms. */
const rows = Array.from({ length: 10 }, (_, i) => {
  const bedrooms = i === 3 || i === 7 ? '' : String(10 * i)
  return `-${120 + i},${30 + i},${i},${100 * i},${bedrooms},${3 * i},${2 * i},${i / 2},${50000 * (i + 1)},${i % 2 ? 'INLAND' : 'NEAR BAY'}`
})
const SMALL = `${HEADER}${rows.join('\n')}\n`

describe('housing', () => {
  const load = async (options = {}) => housing({ dir: await folder('housing', 'housing.csv', SMALL), ...options })

  it('has 13 columns or fewer, standardised on the rows that train', async () => {
    const { train, test } = await load()
    expect([train.length, test.length]).toEqual([8, 2])
    expect(train.featureNames).toHaveLength(10)
    expect(train.featureNames!.slice(8)).toEqual(['ocean_proximity=INLAND', 'ocean_proximity=NEAR BAY'])
    const columns = Array.from({ length: train.length }, (_, i) => train.get(i).x)
    for (let c = 0; c < 10; c++) {
      const values = columns.map((x) => x[c]!)
      expect(values.reduce((a, b) => a + b) / 8).toBeCloseTo(0, 5)
      expect(Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / 8)).toBeCloseTo(1, 4)
    }
    expect([...train.y, ...test.y].sort((a, b) => a - b)).toEqual([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5])
    expect(test.fields[0].normalization).toEqual(train.fields[0].normalization)
  })

  it('fills bedrooms with the mean of the training rows, or leaves the rows out', async () => {
    const { train, test } = await load({ test: 0.3, seed: 5 })
    const bedrooms = (set: typeof train) => Array.from({ length: set.length }, (_, i) => set.x[i * 10 + 4]!)
    const lacking = (set: typeof train) => Array.from(set.y, (y) => y === 2 || y === 4)
    const known = bedrooms(train).filter((_, i) => !lacking(train)[i])
    const mean = known.reduce((a, b) => a + b) / known.length
    for (const set of [train, test]) {
      for (const [i, value] of bedrooms(set).entries()) {
        if (lacking(set)[i]) expect(value).toBeCloseTo(mean, 4)
        else expect(value).toBeCloseTo(20 * set.y[i]! - 10, 4)
      }
    }
    const dropped = await load({ missing: 'drop', oceanProximity: 'drop' })
    expect(dropped.train.length + dropped.test.length).toBe(8)
    expect(dropped.train.featureNames).toHaveLength(8)
    expect([...dropped.train.y, ...dropped.test.y]).not.toContain(2)
  })

  it('says what it takes', async () => {
    await expect(load({ missing: 'zero' })).rejects.toThrow(`housing: missing 'zero'; expected 'mean' or 'drop'`)
    await expect(load({ oceanProximity: 1 })).rejects.toThrow(`housing: oceanProximity 1; expected 'onehot' or 'drop'`)
    const dir = await folder('housing', 'housing.csv', 'a,b\n1,2\n')
    await expect(housing({ dir })).rejects.toThrow("no column 'median_house_value'; there are 'a', 'b'")
  })
})

describe('digits', () => {
  const row = (i: number) => [...Array.from({ length: 64 }, (_, j) => (i + j) % 17), i % 10].join(',')
  const text = Array.from({ length: 20 }, (_, i) => row(i)).join('\n')

  it.each([
    ['digits.csv.gz', gzipSync(text)],
    ['digits.csv', Buffer.from(text)],
  ])('reads %s and splits 70 to 30', async (name, content) => {
    const { train, test } = await digits({ dir: await folder('digits', name, content) })
    expect([train.length, test.length]).toEqual([14, 6])
    expect(train.fields[0]).toMatchObject({ shape: [1, 8, 8], dtype: 'uint8' })
    expect(train.classes).toBe(10)
    const sample = train.get(0)
    const first = train.x[0]!
    expect(sample.x[0]).toBeCloseTo(first / 16, 6)
    expect(first % 10).toBe(Number(sample.y) % 10)
  })

  it.each([
    ['0,1\n', '2 columns; expected 65, 64 pixels and the label'],
    [`${row(1)}\n${row(2).replace(/^2,/, '17,')}\n`, "line 2, column '0': 17; expected an integer from 0 to 16"],
    [`${row(1).replace(/,1$/, ',12')}\n`, "line 1, column '64': label '12'; expected 0 to 9"],
  ])('tells what is wrong', async (content, message) => {
    const call = digits({ dir: await folder('digits', 'digits.csv', content) })
    await expect(call).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    await expect(call).rejects.toThrow(message)
  })

  it('is never fetched, and says so', async () => {
    const env = { XDG_CACHE_HOME: await temporaryFolder() }
    const call = digits({ env })
    await expect(call).rejects.toMatchObject({
      code: 'ERR_OFFLINE',
      hint: expect.stringContaining('digits/digits.csv.gz'),
    })
    await expect(call).rejects.toThrow(
      'Handwritten digits 8×8: digits.csv.gz is not on this machine: no mirror with a published checksum is known',
    )
  })
})

describe('the real sets', () => {
  const needs = async (source: Source, skip: (reason: string) => void) => {
    const dir = process.env.FORJA_DATA_DIR
    const found = dir && (await findFile(source, source.files[0]!, { env: { FORJA_DATA_DIR: dir } }))
    if (found) return
    const reason = dir
      ? `FORJA_DATA_DIR=${dir} holds no ${source.name}/${source.files[0]!.name}`
      : 'FORJA_DATA_DIR is not set'
    console.warn(`the real ${source.name} is not checked: ${reason}`)
    skip(reason)
  }

  it('California has 20,640 districts, 207 of them incomplete', async ({ skip }) => {
    await needs(SOURCES.housing, skip)
    const all = await housing({ offline: true })
    expect([all.train.length, all.test.length]).toEqual([16_512, 4_128])
    expect(all.train.featureNames).toHaveLength(13)
    const dropped = await housing({ offline: true, missing: 'drop' })
    expect(dropped.train.length + dropped.test.length).toBe(20_640 - 207)
  })

  it('1,797 digits', async ({ skip }) => {
    await needs(SOURCES.digits, skip)
    const { train, test } = await digits({ offline: true })
    expect([train.length, test.length]).toEqual([1258, 539])
    const counts = new Array<number>(10).fill(0)
    for (const label of [...train.y, ...test.y]) counts[label]!++
    expect(counts).toEqual([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
  })
})
