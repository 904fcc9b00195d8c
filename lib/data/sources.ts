/**
 * The one table of data sets that can be fetched: files, sizes, checksums and mirrors in the order they are tried.
 * The checksums are those of the compressed files; a copy compressed anew is recognised by `plainSha256`.
 */

export interface SourceFile {
  /** As the mirrors call it and as it lies in a data folder; without `.gz` when unpacked. */
  readonly name: string
  readonly bytes: number
  /** Absent where none is published that could be relied on: the file is then used where it lies, never fetched. */
  readonly sha256?: string
  /** Of the file after unpacking, where it is known. */
  readonly plainSha256?: string
}

export interface Source {
  /** The folder's name, and what the command line calls the data set. */
  readonly name: string
  readonly title: string
  readonly license: string
  /** Addresses that a file's name is appended to. */
  readonly mirrors: readonly string[]
  readonly files: readonly SourceFile[]
  /** Paths in the set's folder of which one shows another form of it, used as it is: no checksum is published. */
  readonly unpacked?: readonly string[]
}

export const SOURCES = {
  mnist: {
    name: 'mnist',
    title: 'MNIST',
    license: 'CC BY-SA 3.0',
    mirrors: ['https://ossci-datasets.s3.amazonaws.com/mnist/', 'https://storage.googleapis.com/cvdf-datasets/mnist/'],
    files: [
      {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 9_912_422,
        sha256: '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
        plainSha256: 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
      },
      {
        name: 'train-labels-idx1-ubyte.gz',
        bytes: 28_881,
        sha256: '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
        plainSha256: '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
      },
      {
        name: 't10k-images-idx3-ubyte.gz',
        bytes: 1_648_877,
        sha256: '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
        plainSha256: '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
      },
      {
        name: 't10k-labels-idx1-ubyte.gz',
        bytes: 4_542,
        sha256: 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
        plainSha256: 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
      },
    ],
  },
  fashionMnist: {
    name: 'fashion-mnist',
    title: 'Fashion-MNIST',
    license: 'MIT',
    mirrors: [
      'https://storage.googleapis.com/tensorflow/tf-keras-datasets/',
      'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
      'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
    ],
    files: [
      {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 26_421_880,
        sha256: '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
      },
      {
        name: 'train-labels-idx1-ubyte.gz',
        bytes: 29_515,
        sha256: 'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
      },
      {
        name: 't10k-images-idx3-ubyte.gz',
        bytes: 4_422_102,
        sha256: '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
      },
      {
        name: 't10k-labels-idx1-ubyte.gz',
        bytes: 5_148,
        sha256: '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
      },
    ],
  },
  cifar10: {
    name: 'cifar10',
    title: 'CIFAR-10',
    license: 'none stated',
    mirrors: ['https://www.cs.toronto.edu/~kriz/'],
    files: [
      {
        name: 'cifar-10-binary.tar.gz',
        bytes: 170_052_171,
        sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
      },
    ],
    unpacked: ['cifar-10-batches-bin/test_batch.bin', 'test_batch.bin', 'train'],
  },
  housing: {
    name: 'housing',
    title: 'California housing',
    license: 'none stated',
    mirrors: ['https://raw.githubusercontent.com/ageron/handson-ml2/master/datasets/housing/'],
    files: [
      {
        name: 'housing.csv',
        bytes: 1_423_529,
        sha256: '8a3727f4cf54ac1a327f69b1d5b4db54c5834ea81c6e4efc0d163300022a685e',
      },
    ],
  },
  digits: {
    name: 'digits',
    title: 'Handwritten digits 8×8',
    license: 'CC BY 4.0',
    mirrors: [],
    files: [{ name: 'digits.csv.gz', bytes: 57_512 }],
  },
} as const satisfies Record<string, Source>
