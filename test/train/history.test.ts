import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import * as fj from '../../lib/index.js'
import { epochLine, progressLine } from '../../lib/train/progress.js'
import { plainNetwork, waves } from '../helpers/training.js'

const folder = mkdtempSync(join(tmpdir(), 'forja-history-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function history(): fj.History {
  const made = new fj.History()
  const rest = { lr: 1e-4, seconds: 2, samplesPerSecond: 1500 }
  made.epochs.push(
    { epoch: 1, loss: 2, accuracy: 0.5, valLoss: 2.5, valAccuracy: 0.25, ...rest },
    { epoch: 2, loss: 1, accuracy: 0.75, valLoss: 2, valAccuracy: 0.5, ...rest },
  )
  return made
}

describe('History', () => {
  it('gives curves by name', () => {
    const made = history()
    expect([made.loss, made.accuracy, made.valLoss, made.valAccuracy]).toEqual([
      [2, 1],
      [0.5, 0.75],
      [2.5, 2],
      [0.25, 0.5],
    ])
    expect(made.values('lr')).toEqual([1e-4, 1e-4])
    expect(made.values('r2')).toEqual([])
  })

  it('draws a picture a figure, training and validation as two lines', async () => {
    const svg = await history().chart('Two epochs').svg()
    for (const text of ['Two epochs', 'loss', 'accuracy', 'training', 'validation', 'epoch']) {
      expect(svg).toContain(`>${text}</text>`)
    }
    expect(svg.match(/class="mark-line/g)).toHaveLength(4)
    const alone = new fj.History()
    alone.epochs.push({ epoch: 1, loss: 2, r2: Number.NEGATIVE_INFINITY, lr: 1, seconds: 1, samplesPerSecond: 1 })
    expect((await alone.chart().svg()).match(/aria-roledescription="point"/g)).toHaveLength(1)
    expect(() => new fj.History().chart()).toThrow('no epoch was completed')
  })

  it('saves by the ending of the path', async () => {
    const made = history()
    await made.save(join(folder, 'a.csv'))
    expect(readFileSync(join(folder, 'a.csv'), 'utf8')).toBe(
      'epoch,loss,accuracy,valLoss,valAccuracy,lr,seconds,samplesPerSecond\n' +
        '1,2,0.5,2.5,0.25,0.0001,2,1500\n2,1,0.75,2,0.5,0.0001,2,1500\n',
    )
    await made.save(join(folder, 'a.json'))
    expect(JSON.parse(readFileSync(join(folder, 'a.json'), 'utf8'))).toEqual({ epochs: made.epochs })
    await made.save(join(folder, 'a.SVG'))
    expect(readFileSync(join(folder, 'a.SVG'), 'utf8')).toMatch(/^<svg /)
    await expect(made.save(join(folder, 'a.png'))).rejects.toThrow("ends in '.png'; expected .svg, .json or .csv")
  })

  it('is told in one line an epoch, every metric with its name', () => {
    expect(epochLine(history().epochs[1]!, 10)).toBe(
      'Epoch  2/10  2.0s  1.50k samples/s  loss 1.000  acc 0.7500 | val_loss 2.000  val_acc 0.5000  lr 1.000e-4',
    )
    const logs = { epoch: 3, loss: 0.5, r2: -0.25, top5Accuracy: 0.9, lr: 0.1, seconds: 1, samplesPerSecond: 10 }
    expect(epochLine(logs, 3)).toBe(
      'Epoch 3/3  1.0s  10.0 samples/s  loss 0.5000  r2 -0.2500  top5Accuracy 0.9000  lr 0.1000',
    )
  })

  it('is told in times and rates without exponents, and no minute has 60 seconds', () => {
    const told = (seconds: number, samplesPerSecond: number) =>
      epochLine({ epoch: 1, loss: 1, lr: 1, seconds, samplesPerSecond }, 1)
    expect(told(59.6, 999.7)).toContain('  1m00s  1.00k samples/s')
    expect(told(119.6, 123_456)).toContain('  2m00s  123k samples/s')
    expect(told(3599.7, 999_900)).toContain('  1h00m  1.00M samples/s')
    expect(told(9.97, 99.97)).toContain('  10s  100 samples/s')
  })
})

describe('progress within an epoch', () => {
  const scores = { loss: 0.9123, accuracy: 0.679 }
  const running = { name: 'Epoch  3/10', step: 391, steps: 782, samples: 25_000, seconds: 2, scores }

  it('shows loss and metrics on a terminal of any width, and leaves out what is needed less', () => {
    expect(progressLine(running, 200)).toBe(
      'Epoch  3/10  391/782 ━━━━━━━━━━──────────  2.0s left  5.12ms/step  12.5k samples/s  loss 0.9123  acc 0.6790',
    )
    expect(progressLine(running, 100)).toBe(
      'Epoch  3/10  391/782 ━━━━━━━━━━──────────  2.0s left  12.5k samples/s  loss 0.9123  acc 0.6790',
    )
    expect(progressLine(running, 80)).toBe(
      'Epoch  3/10  391/782 ━━━━━━━━━━──────────  2.0s left  loss 0.9123  acc 0.6790',
    )
    expect(progressLine(running, 60)).toBe('Epoch  3/10  391/782  2.0s left  loss 0.9123  acc 0.6790')
    expect(progressLine(running, 50)).toBe('Epoch  3/10  391/782  loss 0.9123  acc 0.6790')
  })

  it('counts long steps in seconds', () => {
    expect(progressLine({ ...running, step: 1, samples: 64, seconds: 1.234 }, 200)).toContain(
      '  1.23s/step  51.9 samples',
    )
    expect(progressLine({ ...running, step: 1, samples: 64, seconds: 0.5 }, 200)).toContain('  500ms/step  128 samples')
  })
})

describe('learningRateFinder', () => {
  const sweep = async (more: object = {}) => {
    const model = plainNetwork()
    const optimizer = new fj.optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
    const options = { optimizer, batchSize: 8, seed: 1, ...more }
    return { model, optimizer, result: await fj.learningRateFinder(model, waves, options) }
  }

  it('stops when the loss explodes, suggests a rate from before, and leaves everything as it was', async () => {
    const { model, optimizer, result } = await sweep({ maxLr: 1e4 })
    const { rates, losses, suggestion } = result
    expect(rates[0]).toBe(1e-7)
    expect(rates.length).toBeLessThan(100)
    expect(rates[10]! / rates[9]!).toBeCloseTo((1e4 / 1e-7) ** (1 / 99), 6)
    expect(losses).toHaveLength(rates.length)
    expect(suggestion).toBeGreaterThan(1e-4)
    expect(suggestion).toBeLessThan(rates[losses.indexOf(Math.min(...losses))]!)
    expect(optimizer.lr).toBe(0.01)
    expect((await (await optimizer.stateDict()).step!.data())[0]).toBe(0)
    const untouched = plainNetwork()
    expect(await model.layers[0]!.stateDict().then((s) => s.weight!.data())).toEqual(
      await untouched.layers[0]!.stateDict().then((s) => s.weight!.data()),
    )
    const svg = await result.chart().svg()
    for (const text of ['learning rate', 'loss, smoothed', `suggested: ${suggestion.toPrecision(2)}`]) {
      expect(svg).toContain(`>${text}</text>`)
    }
  })

  it('finds the steepest fall of a known curve', () => {
    const rates = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10]
    expect(new fj.LearningRateSweep(rates, [3, 2.9, 2, 1, 0.9, 9]).suggestion).toBe(1e-2)
    expect(() => new fj.LearningRateSweep(rates, [1, 2, 3, 4, 5, 6]).suggestion).toThrow('the loss fell at no rate')
  })

  it('refuses rates that do not rise', async () => {
    await expect(sweep({ minLr: 1, maxLr: 0.1 })).rejects.toThrow(
      '100 steps from 1 to 0.1; expected rates 0 < minLr < maxLr',
    )
    await expect(sweep({ steps: 2 })).rejects.toThrow('2 steps from 1e-7 to 10')
  })
})
