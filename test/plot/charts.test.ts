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

  it('draws bars, cells and pixels, one each', async () => {
    expect((await bars({ values: { cpu: 1, gpu: 3 } }).svg()).match(/aria-roledescription="bar"/g)).toHaveLength(2)
    const cells = /aria-roledescription="rect mark"/g
    expect((await heatmap({ values: [[1, 2, 3]] }).svg()).match(cells)).toHaveLength(3)
    const pixels = [
      [0, 1],
      [1, 0],
    ]
    expect((await images({ images: [pixels, pixels], labels: ['x', 'y'] }).svg()).match(cells)).toHaveLength(8)
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
