/** `fj.plot`: charts as SVG files. */
export { Chart } from './chart.js'
export {
  type AxisTitles,
  type BarsOptions,
  bars,
  type HeatmapOptions,
  heatmap,
  type ImagesOptions,
  images,
  type LinesOptions,
  lines,
  type PointsOptions,
  points,
  type Series,
  sideBySide,
} from './charts.js'
