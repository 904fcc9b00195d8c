/**
 * Charts as SVG: Vega-Lite specifications, rendered in Node without a browser. The libraries are loaded when the first
 * chart is drawn.
 */
import type { TopLevelSpec } from 'vega-lite'
import { writeFileAtomic } from '../io/atomic.js'

/** A Vega-Lite specification that can be drawn. */
export class Chart {
  /** @param spec a TopLevelSpec of vega-lite, whose own types, which need a browser's, stay out of forja's */
  constructor(readonly spec: object) {}

  /** The chart as one SVG element. */
  async svg(): Promise<string> {
    const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')])
    const { spec } = vegaLite.compile(this.spec as TopLevelSpec)
    const view = new vega.View(vega.parse(spec), { renderer: 'none' })
    try {
      return await view.toSVG()
    } finally {
      view.finalize()
    }
  }

  /** Writes the SVG, whole or not at all. */
  async save(path: string): Promise<void> {
    await writeFileAtomic(path, Buffer.from(await this.svg()))
  }
}
