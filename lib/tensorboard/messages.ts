/**
 * The messages of TensorBoard's event files, fields and numbers as far as forja writes them:
 *
 *     Event      wall_time (seconds), step, and one of file_version, graph_def (bytes of a GraphDef), summary
 *     Summary    values, each a tag and one of simple_value, image, histo
 *     GraphDef   nodes: name, op, inputs by name, and the attributes that TensorBoard shows
 */
import protobuf from 'protobufjs/light.js'

const field = (type: string, id: number, rule?: 'repeated') => ({ type, id, ...(rule ? { rule } : {}) })

const attributes: protobuf.IMapField = { keyType: 'string', type: 'AttrValue', id: 5 }

const root = protobuf.Root.fromJSON({
  nested: {
    Event: {
      oneofs: { what: { oneof: ['fileVersion', 'graphDef', 'summary'] } },
      fields: {
        wallTime: field('double', 1),
        step: field('int64', 2),
        fileVersion: field('string', 3),
        graphDef: field('bytes', 4),
        summary: field('Summary', 5),
      },
    },
    Summary: {
      fields: { value: field('Value', 1, 'repeated') },
      nested: {
        Value: {
          oneofs: { value: { oneof: ['simpleValue', 'image', 'histo'] } },
          fields: {
            tag: field('string', 1),
            simpleValue: field('float', 2),
            image: field('Image', 4),
            histo: field('Histogram', 5),
          },
        },
        Image: {
          fields: {
            height: field('int32', 1),
            width: field('int32', 2),
            colorspace: field('int32', 3),
            encodedImageString: field('bytes', 4),
          },
        },
        Histogram: {
          fields: {
            min: field('double', 1),
            max: field('double', 2),
            num: field('double', 3),
            sum: field('double', 4),
            sumSquares: field('double', 5),
            bucketLimit: field('double', 6, 'repeated'),
            bucket: field('double', 7, 'repeated'),
          },
        },
      },
    },
    GraphDef: { fields: { node: field('NodeDef', 1, 'repeated') } },
    NodeDef: {
      fields: {
        name: field('string', 1),
        op: field('string', 2),
        input: field('string', 3, 'repeated'),
        attr: attributes,
      },
    },
    AttrValue: {
      oneofs: { value: { oneof: ['list', 's'] } },
      fields: { list: field('ListValue', 1), s: field('bytes', 2) },
    },
    ListValue: { fields: { shape: field('Shape', 7, 'repeated') } },
    Shape: { fields: { dim: field('Dim', 2, 'repeated') } },
    Dim: { fields: { size: field('int64', 1) } },
  },
})

const EVENT = root.lookupType('Event')
const GRAPH = root.lookupType('GraphDef')

export interface HistogramMessage {
  min: number
  max: number
  num: number
  sum: number
  sumSquares: number
  /** Upper end of each bucket. */
  bucketLimit: number[]
  bucket: number[]
}

export interface SummaryValue {
  tag: string
  simpleValue?: number
  /** colorspace: the number of channels. */
  image?: { height: number; width: number; colorspace: number; encodedImageString: Uint8Array }
  histo?: HistogramMessage
}

export interface EventMessage {
  /** Seconds since 1970. */
  wallTime: number
  step?: number
  fileVersion?: string
  graphDef?: Uint8Array
  summary?: { value: SummaryValue[] }
}

export interface GraphNodeMessage {
  name: string
  op: string
  input: string[]
  attr: Record<string, { list?: { shape: { dim: { size: number }[] }[] }; s?: Uint8Array }>
}

export function encodeEvent(event: EventMessage): Uint8Array {
  return EVENT.encode(event).finish()
}

export function encodeGraph(nodes: readonly GraphNodeMessage[]): Uint8Array {
  return GRAPH.encode({ node: nodes }).finish()
}
