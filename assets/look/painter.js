// Draws what moves on the Relax page: strips of layers by rows, curves, dots, the profile over depth
// and the pictures. It runs in a worker, so that drawing never keeps the page from hearing a person;
// each plot has a canvas here, and the page says where its axes are.

const WIDEST = 4096;  // columns of one strip
const HELD = 512;  // pictures that are kept for looking back

class Painter {
  constructor() {
    this.rows = new Rows(); this.behind = new Rows(); this.head = {frame: 0};
    this.faces = {}; this.canvases = {}; this.pens = {}; this.strips = {}; this.lines = {};
    this.pictures = null; this.kept = new Map(); this.tiles = [];
  }

  // What the page says ---------------------------------------------------------------------------

  hear({asked, cursor, hidden, faces, canvases, news}) {
    Object.assign(this, {asked, cursor, hidden});
    Object.assign(this.faces, faces); Object.assign(this.canvases, canvases);
    for (const one of news) this.take(one);
    if (this.due && !hidden) return;
    this.due = true;
    if (hidden) this.draw(); else requestAnimationFrame(() => this.draw());
  }

  take({head, rows, behind, pixels}) {
    this.rows.take(...rows); this.behind.take(...behind);
    if (head.lane !== this.head.lane) this.kept.clear();
    this.head = {...this.head, ...head};
    if (pixels) this.pictures = {...this.head.tiles, pixels};
    this.kept.delete(head.cursor);
    this.kept.set(head.cursor, this.pictures);
    if (this.kept.size > HELD) this.kept.delete(this.kept.keys().next().value);
    if (head.look) this.paints(head.look);
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

  draw() {
    if (!this.due) return;
    this.due = false;
    if (this.rows.n && this.head.colours) this.paint();
    const {asked, tiles, head: {frame}} = this;
    setTimeout(() => postMessage({asked, frame, tiles}), 0);  // when what was drawn has left
  }

  paint() {
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
  }

  // How it is drawn ------------------------------------------------------------------------------

  face(name) {
    const face = this.faces[name], canvas = this.canvases[name];
    if (!face || !canvas) return null;
    const {box, ratio, x, y} = face;
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width; canvas.height = height;
    }
    const ctx = this.pens[name] ??= canvas.getContext('2d');
    ctx.setTransform(ratio, 0, 0, ratio, -box.left * ratio, -box.top * ratio);
    ctx.clearRect(box.left, box.top, box.width, box.height);
    const [X, Y] = [x, y].map(([zero, unit]) => value => zero + unit * value);
    return {ctx, box, X, Y};
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
    const {width, height} = ctx.canvas, {colours, gaps} = this.head;
    const key = [width, height, X(0), X(1), Y(0), Y(1), rows.version, behind.version, column, colours, gaps].join();
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
}

const painter = new Painter();
onmessage = event => painter.hear(event.data);
