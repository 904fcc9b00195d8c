import { inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { bars, heatmap, images, lines, points, sideBySide } from '../../lib/plot/index.js'

const marks = (svg: string, role: string) => svg.match(new RegExp(`class="mark-${role}`, 'g'))?.length ?? 0

describe('charts', () => {
  it('draws one line a series, with titles and a legend', async () => {
    const chart = lines({ title: 'Loss', x: 'epoch', y: 'loss', series: { training: [3, 2, 1], test: [3, 2.5, 2] } })
    const svg = await chart.svg()
    expect(svg).toMatch(/^<svg /)
    for (const text of ['Loss', 'epoch', 'loss', 'training', 'test']) expect(svg).toContain(`>${text}</text>`)
    expect(marks(svg, 'line')).toBe(2)
    expect(svg.match(/aria-roledescription="point"/g)).toHaveLength(6)
  })

  it('draws points of two classes and a boundary', async () => {
    const svg = await points({
      series: { a: [[0, 0]], b: [[1, 1]] },
      lines: {
        boundary: [
          [0, 1],
          [1, 0],
        ],
      },
    }).svg()
    expect(svg.match(/aria-roledescription="point"/g)).toHaveLength(2)
    expect(marks(svg, 'line')).toBe(1)
  })

  it('tells more series apart than there are colours', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `series ${i}`)
    const rows = Object.fromEntries(names.map((name, i) => [name, [i, i + 1]]))
    const drawn = await lines({ series: rows, dots: false }).svg()
    const looks = [...drawn.matchAll(/<path aria-label="epoch[^>]*|<path [^>]*aria-roledescription="line mark"[^>]*/g)]
    const look = ([path]: RegExpMatchArray) =>
      `${path.match(/stroke="([^"]+)"/)?.[1]} ${path.match(/stroke-dasharray="([^"]+)"/)?.[1]}`
    expect(looks).toHaveLength(10)
    expect(new Set(looks.map(look)).size).toBe(10)
    const pairs = Object.fromEntries(names.map((name, i) => [name, [[i, i]] as [number, number][]]))
    const marks = [...(await points({ series: pairs }).svg()).matchAll(/aria-roledescription="point"[^>]*/g)]
    const shape = ([path]: RegExpMatchArray) =>
      `${path.match(/ d="([^"]+)"/)?.[1]} ${path.match(/fill="([^"]+)"/)?.[1]}`
    expect(new Set(marks.map(shape)).size).toBe(10)
  })

  it('writes long names of series in full', async () => {
    const name = '784-512-256-10, accuracy on the training samples'
    expect(await lines({ series: { [name]: [1, 2], test: [1, 2] } }).svg()).toContain(`>${name}</text>`)
  })

  it('writes a logarithmic axis as one writes numbers', async () => {
    const labels = async (loss: number[]) => {
      const svg = await lines({ series: { loss }, yScale: 'log' }).svg()
      const axis = svg.slice(svg.indexOf('role-axis', svg.indexOf('Y-axis') - 200))
      return [...axis.matchAll(/text-anchor="end"[^>]*>([^<]+)</g)].map(([, label]) => label)
    }
    expect(await labels([0.6, 0.2, 0.03])).toEqual(['0.01', '0.02', '0.05', '0.1', '0.2', '0.5', '1'])
    expect(await labels([10, 1e-4, 1e-7])).toEqual([
      '1e-7',
      '0.000001',
      '0.00001',
      '0.0001',
      '0.001',
      '0.01',
      '0.1',
      '1',
      '10',
    ])
  })

  it('draws bars, cells and pixels, one each', async () => {
    expect((await bars({ values: { cpu: 1, gpu: 3 } }).svg()).match(/aria-roledescription="bar"/g)).toHaveLength(2)
    const cells = /aria-roledescription="rect mark"/g
    expect((await heatmap({ values: [[1, 2, 3]] }).svg()).match(cells)).toHaveLength(3)
  })

  it('draws images from their darkest to their brightest value, and stays small', async () => {
    const noise = Array.from({ length: 28 }, (_, r) => Array.from({ length: 28 }, (_, c) => Math.sin(28 * r + c)))
    const pixels = [
      [3, 5, 4],
      [5, 3, 3],
    ]
    const svg = await images({ images: [pixels, noise], labels: ['x', 'y'], scale: 2 }).svg()
    const urls = [...svg.matchAll(/href="data:image\/png;base64,([^"]+)"/g)].map(([, data]) =>
      Buffer.from(data!, 'base64'),
    )
    expect(urls).toHaveLength(2)
    const [small] = urls as [Buffer]
    expect([small.readUInt32BE(16), small.readUInt32BE(20)]).toEqual([6, 4])
    const idat = small.indexOf('IDAT')
    const rows = inflateSync(small.subarray(idat + 4, idat + 4 + small.readUInt32BE(idat - 4)))
    const [upper, lower] = [
      [0, 0, 0, 255, 255, 128, 128],
      [0, 255, 255, 0, 0, 0, 0],
    ]
    expect([...rows]).toEqual([...upper!, ...upper!, ...lower!, ...lower!])
    expect(svg.length).toBeLessThan(10_000)
    expect(() => images({ images: [[[Number.NaN]]] })).toThrow('plot.images: NaN cannot be drawn')
    expect(() => images({ images: [[[1], [2, 3]]] })).toThrow('plot.images: images[0][1] has 2 pixels, images[0][0] 1')
  })

  it('shows the name of every column', async () => {
    const columns = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
    const values = columns.map(() => columns.map((_, i) => i))
    const turned = (svg: string) => [...svg.matchAll(/rotate\(315\)[^>]*>(\w+)</g)].map(([, name]) => name)
    expect(turned(await heatmap({ values, columns, width: 420 }).svg())).toEqual(columns)
    expect(turned(await heatmap({ values, columns: [...'abcdefghij'], width: 420 }).svg())).toEqual([])
  })

  it('refuses what cannot be drawn', () => {
    expect(() => lines({ series: { loss: [1, Number.NaN] } })).toThrow('plot.lines: NaN cannot be drawn')
    expect(() => lines({ series: { loss: [1, 0.5, 0] }, yScale: 'log' })).toThrow(
      "plot.lines: y of 'loss'[2] is 0; a logarithmic axis shows numbers above 0",
    )
    expect(() => lines({ series: { loss: [[-1, 2]] }, xScale: 'log' })).toThrow("plot.lines: x of 'loss'[0] is -1;")
    expect(() => lines({ series: { loss: [1, 0, -1] } })).not.toThrow()
    expect(() => lines({} as never)).toThrow('plot.lines: series must be an object, got undefined')
    expect(() => bars({ values: 3 as never })).toThrow('plot.bars: values must be an object, got 3')
    expect(() => heatmap({ values: [1] as never })).toThrow('plot.heatmap: values[0] must be an array, got 1')
    expect(() => images({ images: [[1]] as never })).toThrow('plot.images: images[0][0] must be an array, got 1')
  })

  it('refuses charts that are none', () => {
    expect(() => sideBySide([null] as never)).toThrow('plot.sideBySide: charts[0] must be a Chart, got null')
  })
})
