// Says what is under the pointer on the Relax page: which layer, at which row, and its value.
// The numbers are those that FrameBoard holds, so it asks nobody and follows the rows as they come.

class Hover {
  constructor(board) {
    this.board = board; this.at = null;
    this.words = document.createElement('div');
    this.words.id = 'hover'; this.words.hidden = true;
    document.getElementById('page').append(this.words);
    addEventListener('pointermove', event => this.moves(event));
    addEventListener('pointerdown', () => this.leaves());
    document.documentElement.addEventListener('pointerleave', () => this.leaves());
  }

  moves(event) {
    const section = event.buttons ? null : event.composedPath().find(one => one.id in this.board.figures);
    if (!section) return this.leaves();
    this.at = {name: section.id, x: event.clientX, y: event.clientY};
    this.say();
  }

  leaves() {
    this.at = null; this.words.hidden = true;
  }

  say() {
    // Anew with each frame: the rows go on under a pointer that stands still.
    if (!this.at) return;
    const {name, x, y} = this.at, said = this.said(name, x, y);
    this.words.hidden = !said;
    if (!said) return;
    if (this.words.textContent !== said) this.words.textContent = said;
    const {offsetWidth: wide, offsetHeight: high} = this.words;
    this.words.style.left = Math.max(2, Math.min(x + 12, innerWidth - wide - 4)) + 'px';
    this.words.style.top = (y + 16 + high < innerHeight ? y + 16 : y - 8 - high) + 'px';
  }

  said(name, clientX, clientY) {
    const {board} = this, {rows, head} = board, view = board.views[name];
    const box = view?.frame?.bbox;
    if (!box || !rows.n || !head.colours || head.absent.includes(name)) return '';
    const from = view.canvas_view.el.getBoundingClientRect();
    const x = clientX - from.left, y = clientY - from.top;
    if (x < box.left || x > box.right || y < box.top || y > box.bottom) return '';
    const [X, Y] = [view.frame.x_scale, view.frame.y_scale], L = head.colours.length;
    const layer = k => 'layer ' + head.said.names[k];
    if (name === 'images') return '';
    if (name === 'depth') {
      const k = Math.round(X.invert(x)) - 1;
      if (!(k >= 0 && k < L)) return '';
      const found = this.energy(rows.near(board.cursor), k);
      return found === ROUNDED ? '' : `${layer(k)}: ${found}`;  // Bokeh says that one, with its value
    }
    const row = Math.round(X.invert(x)), i = rows.near(row);
    if (Math.abs(rows.step[i] - row) > Math.max(1, X.invert(1) - X.invert(0))) return '';
    const here = ` · row ${rows.step[i]}`, value = column => this.number(10 ** rows.get(i, column));
    if (name === 'imbalance') {
      const decades = rows.get(i, 3);
      return Number.isFinite(decades) ? `imbalance ${decades.toFixed(2)} decades${here}` : '';
    }
    if (name === 'total') {
      const parts = [['F', 0, ' nat'], ['ΣE', 1, ' nat'], ['residual', 2, '']];
      const told = parts.filter(([, column]) => Number.isFinite(rows.get(i, column)));
      return told.length ? told.map(([of, column, unit]) => `${of} ${value(column)}${unit}`).join('  ') + here : '';
    }
    if (name === 'heat' || name === 'precision') {
      const k = Math.round(Y.invert(y)) - 1;
      if (k < 0 || k >= L) return '';
      if (name === 'heat') return `${layer(k)}${here}: ${this.energy(i, k)}`;
      const log = rows.get(i, SINGLE + 3 * L + k);
      return Number.isFinite(log) ? `${layer(k)}${here}: Π ${this.number(10 ** log)}` : '';
    }
    const column = SINGLE + (name === 'errors' ? 1 : 2) * L;
    let nearest = -1, least = NEAR;
    for (let k = 0; k < L; k++) {
      const apart = Math.abs(Y.compute(rows.get(i, column + k)) - y);
      if (apart < least) { least = apart; nearest = k; }
    }
    if (nearest < 0) return '';
    const found = rows.get(i, column + nearest), plain = name === 'alignment' && !head.powers;
    return `${layer(nearest)}${here}: ${this.number(plain ? found : 10 ** found)}`;
  }

  energy(i, k) {
    const log = this.board.rows.get(i, SINGLE + k);
    if (log === -Infinity) return ROUNDED;
    if (log === Infinity) return 'not recorded';
    return Number.isNaN(log) ? 'not reached' : this.number(10 ** log) + ' nat';
  }

  number(value) {
    const size = Math.abs(value);
    const text = size && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(+value.toPrecision(3));
    return text.replaceAll('-', '−').replace('e+', 'e');
  }
}

const ROUNDED = 'below its rounding floor';
const NEAR = 16;  // pixels from a line within which the pointer means it
