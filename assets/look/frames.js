// Draws what moves on the Relax page, between the axes that Bokeh draws: strips of layers by rows,
// curves, dots, the profile over depth and the pictures. A message brings the rows that are new; the
// rows of the window are kept here, so that a look back among them waits for nobody.
// The layout of a message is that of workbench/frames.py.

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
const WIDEST = 4096;  // columns of one strip
const HELD = 512;  // pictures that are kept for looking back
const WAITS = 600;  // ms for which a look back stands before the server has confirmed it
const SAYS = 80;  // ms between two words on what has been painted: each costs both sides a message

class FrameBoard {
  constructor(figures, tell) {
    this.figures = figures; this.tell = tell;
    this.rows = new Rows(); this.behind = new Rows();
    this.head = {frame: 0}; this.seen = 0; this.painted = 0; this.saidAt = 0;
    this.canvases = {}; this.pens = {}; this.views = {}; this.strips = {}; this.lines = {};
    this.pictures = null; this.kept = new Map();
    this.local = null; this.dragged = null; this.asked = null; this.lost = false;
    const later = () => this.later();
    for (const figure of Object.values(figures)) {
      figure.x_range.change.connect(later); figure.y_range.change.connect(later);
      figure.properties.inner_width.change.connect(later);
      figure.properties.inner_height.change.connect(later);
    }
    addEventListener('resize', later);
    document.addEventListener('visibilitychange', () => {
      this.tell(document.hidden ? 'hidden' : 'visible');
      if (document.hidden && this.due) this.draw(); else later();
    });
    this.hearsPointer();
    this.hover = new Hover(this);
  }

  // What comes -----------------------------------------------------------------------------------

  take(array) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const told = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + told)));
    const whole = 'look' in head;  // it needs nothing of those before
    if (!whole && (this.lost || head.frame !== this.head.frame + 1)) {
      if (!this.lost) this.tell('again');  // one went by, as before the page was listening
      this.lost = true;
      return;
    }
    this.lost = false;
    let at = 4 + told;
    const even = () => { at = 8 * Math.ceil(at / 8); };
    const read = (Type, count) => {
      const begun = bytes.byteOffset + at;
      at += count * Type.BYTES_PER_ELEMENT;
      return new Type(bytes.buffer.slice(begun, bytes.byteOffset + at));
    };
    for (const name of ['rows', 'behind']) {
      even();
      const [drop, keep, count, K] = head[name];
      const step = read(Float64Array, count), values = read(Float32Array, count * K);
      this[name].take(drop, keep, step, values, K);
    }
    even();
    if (head.lane !== this.head.lane) this.kept.clear();
    this.head = {...this.head, ...head};
    if (head.pixels >= 0) this.pictures = {...this.head.tiles, pixels: read(Uint8Array, head.pixels)};
    this.kept.delete(head.cursor);
    this.kept.set(head.cursor, this.pictures);
    if (this.kept.size > HELD) this.kept.delete(this.kept.keys().next().value);
    if (head.look) this.paints(head.look);
    if (head.cursor === this.local && !this.dragged) this.local = null;
    this.says(head);
    this.later();
  }

  says(head) {
    if (head.chosen) this.chosen = JSON.stringify(head.chosen).slice(0, -1);
    const comma = this.chosen.length > 1 ? ',' : '';
    document.getElementById('readout').textContent = this.chosen + comma + JSON.stringify(head.said).slice(1);
    const page = document.getElementById('page');
    for (const [name, is] of [['open', head.said.drawer], ['wide', head.said.wide]]) {
      if (page.classList.contains(name) === is) continue;
      page.classList.toggle(name, is); dispatchEvent(new Event('resize'));
    }
    for (const [name, text] of Object.entries(head.titles ?? {})) {
      const title = document.querySelector(`#${name} h2`);
      if (title.textContent !== text) title.textContent = text;
    }
    if (!head.absent) return;
    for (const name of Object.keys(this.figures)) {
      document.getElementById(name).classList.toggle('absent', head.absent.includes(name));
    }
  }

  paints(look) {
    const number = hex => {
      const [r, g, b] = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
      return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
    };
    this.shades = {};
    for (const name of ['energy', 'precision']) this.shades[name] = Uint32Array.from(look[name], number);
    this.unreached = number(look.unreached); this.rounding = number(look.ghost);
  }

  // When it is drawn -----------------------------------------------------------------------------

  later() {
    if (this.due) return;
    this.due = true;
    if (document.hidden) setTimeout(() => this.draw(), 0);
    else requestAnimationFrame(() => this.draw());
  }

  get cursor() { return this.local ?? this.head.cursor; }

  draw() {
    if (!this.due) return;
    this.due = false;
    if (this.rows.n && this.head.colours) this.paint();
    if (this.head.frame === this.seen) return;
    this.seen = this.head.frame; this.painted++;
    this.saying ??= setTimeout(() => this.saysSeen(), Math.max(0, this.saidAt + SAYS - performance.now()));
  }

  saysSeen() {
    this.tell(`seen ${this.seen} ${this.painted}`);
    this.saying = null; this.saidAt = performance.now(); this.painted = 0;
  }

  paint() {
    document.getElementById('page').classList.toggle('ahead', this.cursor !== this.head.cursor);
    const at = this.rows.near(this.cursor), L = this.head.colours.length, look = this.head.look;
    const {energy, precision} = this.head.limits;
    const heat = this.strip('heat', SINGLE, 'energy', energy);
    if (heat) this.words(heat);
    this.strip('precision', SINGLE + 3 * L, 'precision', precision);
    this.layers('errors', SINGLE + L, at);
    this.layers('alignment', SINGLE + 2 * L, at);
    this.curves('total', at, [
      [1, look.muted, 1.2, []], [0, look.ink, 2, []], [2, look.accent, 1.6, [5, 3]]], [[0, []], [2, [5, 3]]],
      [[0, look.ink], [2, look.accent]]);
    this.curves('imbalance', at, [[3, look.ink, 2, []]], [[3, []]], [[3, look.ink]]);
    this.profile(at);
    this.sheet();
    this.hover.say();
  }

  // How it is drawn ------------------------------------------------------------------------------

  face(name) {
    const view = this.views[name] ??= Bokeh.index.find_one(this.figures[name])
      ?? Bokeh.index.query_one(v => v.model === this.figures[name]);
    const box = view?.frame?.bbox;
    if (!box || !(box.width > 0 && box.height > 0)) { delete this.views[name]; return null; }
    const canvas = this.canvases[name] ??= document.createElement('canvas');
    const below = view.canvas_view.primary.el;
    if (canvas.previousSibling !== below) {
      canvas.style.cssText = 'position: absolute; pointer-events: none;';
      below.after(canvas);
    }
    // The layer above is for lost rows alone; an empty one costs the browser as much as a full one.
    view.canvas_view.overlays.el.style.display = this.head.gaps.length ? '' : 'none';
    const ratio = devicePixelRatio, width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
    const place = `${box.left} ${box.top} ${width} ${height} ${ratio}`;
    if (canvas.dataset.place !== place) {
      canvas.dataset.place = place;
      canvas.width = width; canvas.height = height;
      for (const side of ['left', 'top', 'width', 'height']) canvas.style[side] = box[side] + 'px';
    }
    const ctx = this.pens[name] ??= canvas.getContext('2d');
    ctx.setTransform(ratio, 0, 0, ratio, -box.left * ratio, -box.top * ratio);
    ctx.clearRect(box.left, box.top, box.width, box.height);
    const [x, y] = [view.frame.x_scale, view.frame.y_scale].map(scale => {
      const zero = scale.compute(0), unit = scale.compute(1) - zero;
      return {of: value => zero + unit * value, at: place => (place - zero) / unit};
    });
    return {ctx, box, X: x.of, Y: y.of, row: x.at, view};
  }

  over(ctx, X, box) {
    const {look, marks} = this.head;
    const line = x => { ctx.beginPath(); ctx.moveTo(X(x), box.top); ctx.lineTo(X(x), box.bottom); ctx.stroke(); };
    ctx.lineWidth = 1; ctx.strokeStyle = look.muted; ctx.setLineDash([2, 3]);
    marks.updates.forEach(line);
    ctx.setLineDash([]); ctx.globalAlpha = 0.6;
    for (const [row] of marks.phases) line(row);
    ctx.globalAlpha = 1; ctx.lineWidth = 1.4; ctx.strokeStyle = look.accent;
    for (const [row] of marks.changes) line(row);
    ctx.lineWidth = 1.2; ctx.strokeStyle = look.ink;
    line(this.cursor);
  }

  words({ctx, X, box}) {
    const {look, marks} = this.head;
    ctx.font = '11px ' + look.font; ctx.textBaseline = 'middle';
    const write = (colour, middle) => ([row, text, side, height]) => {
      if (!text) return;
      const wide = ctx.measureText(text).width + 6, y = middle(height);
      const left = X(row) + (side === 'left' ? 1 : -1 - wide);
      ctx.globalAlpha = 0.85; ctx.fillStyle = look.background; ctx.fillRect(left, y - 7, wide, 14);
      ctx.globalAlpha = 1; ctx.fillStyle = colour; ctx.fillText(text, left + 3, y);
    };
    marks.phases.forEach(write(look.ink, height => box.bottom - 9 - 15 * height));
    marks.changes.forEach(write(look.accent, height => box.top + 9 + 15 * height));
  }

  dot(ctx, x, y, radius, colour) {
    if (!Number.isFinite(y)) return;
    ctx.fillStyle = colour; ctx.beginPath(); ctx.arc(x, y, radius, 0, 2 * Math.PI); ctx.fill();
  }

  strip(name, column, shades, [low, high]) {
    const face = this.face(name), {rows} = this, L = this.head.colours.length;
    if (!face) return null;
    const {ctx, box, X, Y} = face;
    if (!this.head.absent.includes(name)) {
      const first = rows.step[0], last = rows.step[rows.n - 1], span = last - first + 1;
      const whole = span <= WIDEST, W = whole ? span : rows.n;
      let held = this.strips[name];
      if (!held || held.image.width !== W || held.image.height !== L) {
        const canvas = new OffscreenCanvas(W, L);
        held = this.strips[name] = {canvas, ctx: canvas.getContext('2d'), image: new ImageData(W, L)};
        held.cells = new Uint32Array(held.image.data.buffer);
      }
      const {cells} = held, table = this.shades[shades], scale = table.length / (high - low);
      for (let i = 0; i < rows.n; i++) {
        const from = whole ? rows.step[i] - first : i;
        const to = !whole ? i + 1 : i + 1 < rows.n ? rows.step[i + 1] - first : W;
        for (let k = 0; k < L; k++) {
          const value = rows.values[i * rows.K + column + k];
          const colour = value === -Infinity ? this.rounding : !(value < Infinity) ? this.unreached
            : table[Math.min(table.length - 1, Math.max(0, Math.floor((value - low) * scale)))];
          for (let w = from; w < to; w++) cells[(L - 1 - k) * W + w] = colour;
        }
      }
      held.ctx.putImageData(held.image, 0, 0);
      ctx.imageSmoothingEnabled = false;
      const left = X(first - 0.5), top = Y(L + 0.5), high_ = Y(0.5) - top;
      if (whole) ctx.drawImage(held.canvas, left, top, X(last + 0.5) - left, high_);
      else for (let i = 0; i < rows.n; i++) {
        const x = X(rows.step[i] - 0.5), end = X((i + 1 < rows.n ? rows.step[i + 1] : last + 1) - 0.5);
        ctx.drawImage(held.canvas, i, 0, 1, L, x, top, end - x, high_);
      }
    }
    this.over(ctx, X, box);
    return face;
  }

  trace(ctx, rows, column, X, Y, gaps, from = 0) {
    let down = false, gap = 0;
    for (let i = from; i < rows.n; i++) {
      const value = rows.values[i * rows.K + column], step = rows.step[i];
      while (gap < gaps.length && gaps[gap][0] < step) { gap++; down = false; }
      if (!Number.isFinite(value)) { down = false; continue; }
      if (down) ctx.lineTo(X(step), Y(value)); else ctx.moveTo(X(step), Y(value));
      down = true;
    }
  }

  layers(name, column, at) {
    const face = this.face(name), L = this.head.colours.length, look = this.head.look;
    if (!face) return;
    const {ctx, box, X, Y} = face, {rows, behind} = this;
    const {width, height, dataset} = ctx.canvas, {colours, gaps} = this.head;
    const key = [dataset.place, X(0), X(1), Y(0), Y(1), rows.version, behind.version, column, colours, gaps].join();
    const held = this.lines[name] ??= {canvas: new OffscreenCanvas(width, height), key: ''};
    const pen = held.ctx ??= held.canvas.getContext('2d');
    if (held.key !== key) {  // all of it anew, else only what has come
      Object.assign(held, {key, rows: 0, behind: 0});
      held.canvas.width = width; held.canvas.height = height;
    }
    pen.setTransform(ctx.getTransform()); pen.lineJoin = 'bevel';
    if (behind.n > held.behind) {
      pen.globalAlpha = 0.5; pen.strokeStyle = look.ghost; pen.lineWidth = 1; pen.beginPath();
      for (let k = 0; k < L; k++) this.trace(pen, behind, column + k, X, Y, [], Math.max(0, held.behind - 1));
      pen.stroke(); pen.globalAlpha = 1;
      held.behind = behind.n;
    }
    if (rows.n > held.rows) {
      pen.lineWidth = 1.7;
      for (let k = 0; k < L; k++) {
        pen.strokeStyle = colours[k]; pen.beginPath();
        this.trace(pen, rows, column + k, X, Y, gaps, Math.max(0, held.rows - 1)); pen.stroke();
      }
      held.rows = rows.n;
    }
    ctx.save(); ctx.resetTransform(); ctx.drawImage(held.canvas, 0, 0); ctx.restore();
    this.over(ctx, X, box);
    const x = X(this.rows.step[at]);
    for (let k = 0; k < L; k++) this.dot(ctx, x, Y(this.rows.get(at, column + k)), 3, this.head.colours[k]);
  }

  curves(name, at, drawn, ghosts, dots) {
    const face = this.face(name), look = this.head.look;
    if (!face) return;
    const {ctx, box, X, Y} = face;
    ctx.lineJoin = 'bevel';
    if (this.behind.n) for (const [column, dash] of ghosts) {
      ctx.strokeStyle = look.ghost; ctx.lineWidth = 1.5; ctx.setLineDash(dash); ctx.beginPath();
      this.trace(ctx, this.behind, column, X, Y, []); ctx.stroke();
    }
    for (const [column, colour, width, dash] of drawn) {
      ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash(dash); ctx.beginPath();
      this.trace(ctx, this.rows, column, X, Y, this.head.gaps); ctx.stroke();
    }
    this.over(ctx, X, box);
    for (const [column, colour] of dots) {
      this.dot(ctx, X(this.rows.step[at]), Y(this.rows.get(at, column)), 3, colour);
    }
  }

  profile(at) {
    const face = this.face('depth'), {head, rows, behind} = this, {look, colours, foot} = head;
    if (!face) return;
    const {ctx, X, Y} = face, L = colours.length;
    const points = (from, i) => colours.map((_, k) => [X(k + 1), from.get(i, SINGLE + k), k])
      .filter(([, energy]) => Number.isFinite(energy)).map(([x, energy, k]) => [x, Y(energy), k]);
    const joined = (found, colour, width) => {
      ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.setLineDash([]); ctx.beginPath();
      found.forEach(([x, y], i) => i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)); ctx.stroke();
    };
    if (behind.n) {
      const found = points(behind, behind.near(this.cursor));
      joined(found, look.ghost, 1.5);
      for (const [x, y] of found) this.dot(ctx, x, y, 2.5, look.ghost);
    }
    const found = points(rows, at);
    joined(found, look.muted, 1);
    for (const [x, y, k] of found) this.dot(ctx, x, y, 5, colours[k]);
    ctx.strokeStyle = look.muted; ctx.lineWidth = 1; ctx.beginPath();
    for (let k = 0; k < L; k++) {
      if (!Number.isNaN(rows.get(at, SINGLE + k))) continue;
      const x = X(k + 1), y = Y(foot), r = 3.5;
      ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x - r, y + r); ctx.lineTo(x + r, y - r);
    }
    ctx.stroke();
    ctx.fillStyle = look.ghost;
    for (let k = 0; k < L; k++) {
      if (rows.get(at, SINGLE + k) !== -Infinity) continue;
      const x = X(k + 1), y = Y(foot), r = 4;
      ctx.beginPath(); ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y - r); ctx.lineTo(x, y + r); ctx.fill();
    }
  }

  sheet() {
    const face = this.face('images'), shown = this.kept.get(this.cursor) ?? this.pictures;
    if (!face || !shown?.count) return;
    const {ctx, box} = face, {count, lines, height, width, texts, marked} = shown;
    let across = 1, unit = 0;
    for (let n = 1; n <= count; n++) {
      const size = Math.min(box.width / (n * width), box.height / (lines * Math.ceil(count / n) * height));
      if (size > unit) { unit = size; across = n; }
    }
    const deep = Math.ceil(count / across);
    const left = box.left + (box.width - across * width * unit) / 2;
    const top = box.top + (box.height - deep * lines * height * unit) / 2;
    shown.drawn ??= this.drawn(shown);
    ctx.imageSmoothingEnabled = false;
    this.tiles = [];
    for (let i = 0; i < count; i++) {
      const x = left + (i % across) * width * unit, y = top + Math.floor(i / across) * lines * height * unit;
      ctx.drawImage(shown.drawn, i * width, 0, width, lines * height, x, y, width * unit, lines * height * unit);
      this.tiles.push([x, y, x + width * unit, y + lines * height * unit]);
    }
    if (this.tiles[marked]) {
      const [x, y, right, bottom] = this.tiles[marked];
      ctx.setLineDash([]); ctx.strokeStyle = this.head.look.accent; ctx.lineWidth = 3;
      ctx.strokeRect(x + 1.5, y + 1.5, right - x - 3, bottom - y - 3);
    }
    ctx.font = '11px ' + this.head.look.font; ctx.textBaseline = 'top';
    const room = width * unit - 4, narrow = texts.some(text => ctx.measureText(text).width > room);
    texts.forEach((whole, i) => {  // what stands behind two blanks goes first where room is short
      const text = narrow ? whole.split('  ')[0] + ' ' : whole;
      const [x, y] = this.tiles[i], wide = Math.min(ctx.measureText(text).width, room);
      ctx.fillStyle = 'rgba(0, 0, 0, .55)'; ctx.fillRect(x + 2, y + 2, wide, 13);
      ctx.fillStyle = '#ffffff'; ctx.fillText(text, x + 2, y + 3, wide);
    });
  }

  drawn({count, lines, height, width, channels, pixels}) {
    const image = new ImageData(count * width, lines * height), out = image.data;
    const grey = channels < 3, clear = channels % 2 === 0;
    for (let k = 0, from = 0; k < lines; k++) for (let i = 0; i < count; i++) {
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++, from += channels) {
        const to = 4 * ((k * height + y) * count * width + i * width + x);
        out[to] = pixels[from]; out[to + 1] = pixels[from + (grey ? 0 : 1)];
        out[to + 2] = pixels[from + (grey ? 0 : 2)]; out[to + 3] = clear ? pixels[from + channels - 1] : 255;
      }
    }
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext('2d').putImageData(image, 0, 0);
    return canvas;
  }

  // Looking back ---------------------------------------------------------------------------------

  look(row) {
    // At once here, where the row is held; the server is asked for all the rest of it.
    const {rows} = this;
    if (!rows.n || row < rows.step[0] || row > rows.step[rows.n - 1]) return;
    this.local = rows.step[rows.near(row)];
    clearTimeout(this.waits);
    this.waits = setTimeout(() => { if (!this.dragged) { this.local = null; this.later(); } }, WAITS);
    this.later();
  }

  moves(by) {
    if (!this.head.said?.playing) this.look(this.cursor + by);
  }

  slides(row) {
    if (this.pressed) this.look(row);
  }

  ask(row) {
    if (row === this.asked) return;
    this.asked = row;
    this.tell('seek ' + row);
  }

  picks(event) {
    const face = this.views.images; if (!face) return;
    const from = face.canvas_view.el.getBoundingClientRect();
    const x = event.clientX - from.left, y = event.clientY - from.top;
    const i = this.tiles?.findIndex(([left, top, right, bottom]) => x >= left && x < right && y >= top && y < bottom) ?? -1;
    if (i >= 0) this.tell('pick ' + i);
  }

  hearsPointer() {
    const stepped = new Set(['heat', 'precision', 'total', 'imbalance', 'errors', 'alignment']);
    const row = event => {
      const face = this.views[this.dragged]; if (!face) return null;
      const {frame, canvas_view} = face, from = canvas_view.el.getBoundingClientRect();
      const x = event.clientX - from.left, y = event.clientY - from.top, box = frame.bbox;
      if (event.type === 'pointerdown' && !(x >= box.left && x <= box.right && y >= box.top && y <= box.bottom)) return null;
      const {start, end} = this.figures[this.dragged].x_range;
      const at = Math.round(start + (end - start) * (x - box.left) / box.width);
      return Math.max(0, Math.min(at, this.head.said.row));
    };
    let last = 0;
    const move = (event, always) => {
      const at = row(event);
      if (at === null) return false;
      this.look(at);
      if (always || event.timeStamp - last > 60) { last = event.timeStamp; this.ask(at); }
      return true;
    };
    addEventListener('pointerdown', event => {
      this.pressed = true;
      if (event.button || !this.rows.n) return;
      if (event.composedPath().some(one => one.id === 'images')) this.picks(event);
      const section = event.composedPath().find(one => stepped.has(one.id));
      if (!section) return;
      this.dragged = section.id; this.asked = null;
      if (!move(event, true)) this.dragged = null;
    });
    addEventListener('pointermove', event => { if (this.dragged) move(event, false); });
    const ends = event => {
      this.pressed = false;
      if (!this.dragged) return;
      if (event.type === 'pointerup') move(event, true);
      this.dragged = null;
      this.later();
    };
    addEventListener('pointerup', ends); addEventListener('pointercancel', ends);
  }
}
