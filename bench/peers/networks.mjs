/** The networks of the benches, for any library: `layers` has a function a layer, `next()` the next parameter. */

export const NETWORKS = {
  lenet5: (layers, x, next) => {
    let y = layers.maxPool(layers.conv(x, next(), next(), { padding: 2, relu: true }))
    y = layers.maxPool(layers.conv(y, next(), next(), { relu: true }))
    y = layers.linear(layers.flatten(y), next(), next(), true)
    y = layers.linear(y, next(), next(), true)
    return layers.linear(y, next(), next())
  },
  mlp: (layers, x, next) => layers.linear(layers.linear(layers.flatten(x), next(), next(), true), next(), next()),
  resnet18Cifar: (layers, x, next) => {
    const conv = (y, options) => {
      const weight = next()
      return layers.batchNorm(layers.conv(y, weight, undefined, options), next(), next())
    }
    let y = layers.relu(conv(x, { padding: 1 }))
    let channels = 64
    for (const [width, first] of [
      [64, 1],
      [128, 2],
      [256, 2],
      [512, 2],
    ]) {
      for (const stride of [first, 1]) {
        let z = layers.relu(conv(y, { stride, padding: 1 }))
        z = conv(z, { padding: 1 })
        const shortcut = stride > 1 || channels !== width ? conv(y, { stride }) : y
        y = layers.relu(layers.add(z, shortcut))
        channels = width
      }
    }
    return layers.linear(layers.flatten(layers.globalAvgPool(y)), next(), next())
  },
  vgg16: (layers, x, next) => {
    let y = x
    for (const count of [2, 2, 3, 3, 3]) {
      for (let i = 0; i < count; i++) y = layers.conv(y, next(), next(), { padding: 1, relu: true })
      y = layers.maxPool(y)
    }
    y = layers.linear(layers.flatten(y), next(), next(), true)
    y = layers.linear(y, next(), next(), true)
    return layers.linear(y, next(), next())
  },
}

export const CLASSES = { lenet5: 10, mlp: 10, resnet18Cifar: 10, vgg16: 1000 }

/** Walks the files parameter0, parameter1, ... of a case. */
export function parameters(files) {
  let index = 0
  return () => files[`parameter${index++}`]
}
