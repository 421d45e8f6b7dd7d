// The rows of a lane, which the page holds to say what is under the pointer, and painter.js to draw.

class Rows {
  // Rows of a lane: their numbers, and K values of each.
  constructor() { this.n = 0; this.version = 0; this.K = 1; this.step = new Float64Array(0); this.values = new Float32Array(0); }

  take(drop, keep, step, values, K) {
    const n = keep + step.length;
    if (drop || keep < this.n || K !== this.K) this.version++;  // else rows have only been added
    if (n > this.step.length || K !== this.K) {
      const room = Math.max(512, 2 * n), old = this;
      const steps = new Float64Array(room), all = new Float32Array(room * K);
      if (keep) {
        steps.set(old.step.subarray(drop, drop + keep));
        all.set(old.values.subarray(drop * K, (drop + keep) * K));
      }
      this.step = steps; this.values = all; this.K = K;
    } else if (drop && keep) {
      this.step.copyWithin(0, drop, drop + keep);
      this.values.copyWithin(0, drop * K, (drop + keep) * K);
    }
    this.step.set(step, keep); this.values.set(values, keep * K);
    this.n = n;
  }

  near(row) {
    let low = 0, high = this.n - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.step[middle] < row) low = middle + 1; else high = middle;
    }
    return low && row - this.step[low - 1] < this.step[low] - row ? low - 1 : low;
  }

  get(i, column) { return this.values[i * this.K + column]; }
}

const SINGLE = 4;  // total, bare, residual, imbalance; then energy, error, compared, precision
