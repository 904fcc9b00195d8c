import { ForjaError, type ForjaErrorCode } from '../errors.js'
import { currentScope } from './registry.js'

/** Throws with `name (layer): message`; the layer is the one whose call runs, if one does. */
export function refuse(name: string, code: ForjaErrorCode, message: string, hint?: string): never {
  const layer = currentScope()
  throw new ForjaError(code, `${layer ? `${name} (${layer})` : name}: ${message}`, hint === undefined ? {} : { hint })
}
