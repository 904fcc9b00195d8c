import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { describe, expect, it, vi } from 'vitest'
import { imageFolder } from '../../lib/data/image_folder.js'
import { temporaryFolder } from './mirror.js'

/** A picture whose left half is `left`, whose right half is `right`: red, green, blue. */
async function picture(path: string, width: number, height: number, left: number[], right: number[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const pixels = Buffer.from(
    Array.from({ length: width * height }, (_, i) => (i % width < width / 2 ? left : right)).flat(),
  )
  await sharp(pixels, { raw: { width, height, channels: 3 } }).toFile(path)
}

async function photos(): Promise<string> {
  const dir = await temporaryFolder()
  await picture(join(dir, 'dog', 'b.png'), 6, 4, [10, 20, 30], [200, 150, 100])
  await picture(join(dir, 'dog', 'a.PNG'), 6, 4, [1, 2, 3], [4, 5, 6])
  await picture(join(dir, 'cat', 'x.jpeg'), 6, 4, [128, 128, 128], [128, 128, 128])
  await writeFile(join(dir, 'cat', 'notes.txt'), 'not a picture')
  await writeFile(join(dir, 'README.md'), 'nor a class')
  await mkdir(join(dir, '.cache'))
  return dir
}

describe('imageFolder', () => {
  it('makes classes of folders, sorted, and planes of pixels', async () => {
    const set = await imageFolder(await photos())
    expect(set.classNames).toEqual(['cat', 'dog'])
    expect(set.y).toEqual(Int32Array.of(0, 1, 1))
    expect(set.fields[0]).toMatchObject({ shape: [3, 4, 6], dtype: 'uint8' })
    const { x } = set.get(2, { raw: true })
    expect([...x.subarray(0, 6)]).toEqual([10, 10, 10, 200, 200, 200])
    expect([...x.subarray(24, 30)]).toEqual([20, 20, 20, 150, 150, 150])
    expect(set.get(2).x[48 + 5]).toBeCloseTo(100 / 255, 6)
    expect([...set.get(1, { raw: true }).x.subarray(48, 54)]).toEqual([3, 3, 3, 6, 6, 6])
  })

  it('scales and crops, or stretches', async () => {
    const dir = await photos()
    const cover = await imageFolder(dir, { size: 4 })
    expect(cover.fields[0].shape).toEqual([3, 4, 4])
    // The middle 4 of 6 columns: 2 dark, 2 bright.
    expect([...cover.get(2, { raw: true }).x.subarray(0, 4)]).toEqual([10, 10, 200, 200])
    const stretched = await imageFolder(dir, { size: [2, 12], fit: 'stretch' })
    expect(stretched.fields[0].shape).toEqual([3, 2, 12])
    const row = [...stretched.get(2, { raw: true }).x.subarray(0, 12)]
    expect([row[0], row[11]]).toEqual([10, 200])
  })

  it('makes grey of colours, and drops what shines through', async () => {
    const dir = await temporaryFolder()
    await mkdir(join(dir, 'a'))
    const clear = {
      create: { width: 2, height: 2, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0 } },
    } as const
    await sharp(clear)
      .png()
      .toFile(join(dir, 'a', 'clear.png'))
    await picture(join(dir, 'a', 'red.png'), 2, 2, [255, 0, 0], [0, 0, 0])
    // 16 bits a value, as scanners write: scaled to eight.
    const deep = Uint16Array.of(0x8080, 0x8080, 0x8080, 0x8080)
    await sharp(deep, { raw: { width: 2, height: 2, channels: 1 } })
      .toColourspace('grey16')
      .png()
      .toFile(join(dir, 'a', 'deep.png'))
    expect((await sharp(join(dir, 'a', 'deep.png')).metadata()).depth).toBe('ushort')
    const grey = await imageFolder(dir, { channels: 1 })
    expect([...grey.get(1, { raw: true }).x]).toEqual([0x80, 0x80, 0x80, 0x80])
    expect([...(await imageFolder(dir)).get(1, { raw: true }).x]).toEqual(new Array(12).fill(0x80))
    expect(grey.fields[0].shape).toEqual([1, 2, 2])
    expect([...grey.get(0, { raw: true }).x]).toEqual([0, 0, 0, 0])
    const red = grey.get(2, { raw: true }).x
    expect(red[0]).toBeGreaterThan(40)
    expect(red[0]).toBeLessThan(140)
    expect(red[1]).toBe(0)
  })

  it('names an image that cannot be decoded', async () => {
    const dir = await photos()
    const half = (await readFile(join(dir, 'cat', 'x.jpeg'))).subarray(0, 200)
    await writeFile(join(dir, 'cat', 'y.jpg'), half)
    const call = imageFolder(dir)
    await expect(call).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    await expect(call).rejects.toThrow(`${join(dir, 'cat', 'y.jpg')}: the image cannot be decoded: `)
    await writeFile(join(dir, 'cat', 'y.jpg'), 'no image at all')
    await expect(imageFolder(dir)).rejects.toThrow(/y\.jpg: the image cannot be decoded: .*unsupported image format/)
  })

  it('names a class without images, and a folder without classes', async () => {
    const dir = await photos()
    await mkdir(join(dir, 'eel'))
    const call = imageFolder(dir)
    await expect(call).rejects.toMatchObject({ code: 'ERR_FORMAT' })
    await expect(call).rejects.toThrow(`${join(dir, 'eel')}: the class has no image; expected files .jpg, .jpeg, .png`)
    await expect(imageFolder(dir, { classNames: ['cat', 'fox'] })).rejects.toThrow(
      `${join(dir, 'fox')}: the class has no image`,
    )
    await expect(imageFolder(join(dir, 'eel'))).rejects.toThrow('eel: no class; expected one folder a class')
    await expect(imageFolder(join(dir, 'none'))).rejects.toThrow(/imageFolder: .*none cannot be read: ENOENT/)
  })

  it('takes a link to a folder for a class, and one that leads nowhere for none', async () => {
    const [dir, linked] = [await photos(), await photos()]
    await symlink(join(dir, 'cat'), join(linked, 'lynx'))
    await symlink(join(linked, 'loop'), join(linked, 'loop'))
    expect((await imageFolder(linked)).classNames).toEqual(['cat', 'dog', 'lynx'])
  })

  it('names an image of another size', async () => {
    const dir = await photos()
    await picture(join(dir, 'dog', 'c.png'), 5, 4, [0, 0, 0], [0, 0, 0])
    const call = imageFolder(dir)
    await expect(call).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    await expect(call).rejects.toThrow(
      `${join(dir, 'dog', 'c.png')}: 5×4 pixels; ${join(dir, 'cat', 'x.jpeg')} has 6×4`,
    )
    expect((await imageFolder(dir, { size: 4 })).length).toBe(4)
  })

  it('checks its options and stops when it is told to', async () => {
    const dir = await photos()
    await expect(imageFolder(dir, { size: 0 })).rejects.toThrow(
      'imageFolder: size 0; expected an integer from 1, or 2 of them',
    )
    await expect(imageFolder(dir, { channels: 2 as 1 })).rejects.toThrow('imageFolder: channels 2; expected 1 or 3')
    await expect(imageFolder(dir, { fit: 'tile' as 'cover' })).rejects.toThrow(
      `fit 'tile'; expected 'cover' or 'stretch'`,
    )
    await expect(imageFolder(dir, { size: 100_000 })).rejects.toMatchObject({ code: 'ERR_OUT_OF_MEMORY' })
    await expect(imageFolder(dir, { signal: AbortSignal.abort() })).rejects.toThrow(/aborted/)
  })

  it('says which package is missing', async () => {
    vi.doMock('sharp', () => {
      throw new Error("Cannot find package 'sharp'")
    })
    try {
      const call = imageFolder(await temporaryPhotos())
      await expect(call).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE', hint: 'npm install sharp' })
      await expect(call).rejects.toThrow('JPEG and PNG need the package sharp: ')
    } finally {
      vi.doUnmock('sharp')
    }
  })
})

async function temporaryPhotos(): Promise<string> {
  const dir = await temporaryFolder()
  await mkdir(join(dir, 'a'))
  await writeFile(join(dir, 'a', 'x.png'), 'never decoded')
  return dir
}
