// Takes the frames of the Relax page, and hears the pointer that looks back. A message brings the
// rows that are new; the rows of the window are kept here, so that a look back among them waits for
// nobody. painter.js draws them, between the axes that Bokeh draws.
// The layout of a message is that of workbench/frames.py.

const WAITS = 600;  // ms for which a look back stands before the server has confirmed it
const SAYS = 80;  // ms between two words on what has been painted: each costs both sides a message
const TITLES = 150;  // ms between two titles while it plays: nobody reads faster

class FrameBoard {
  constructor(figures, tell) {
    this.figures = figures; this.tell = tell;
    this.rows = new Rows(); this.behind = new Rows();
    this.head = {frame: 0}; this.seen = 0; this.painted = 0; this.saidAt = this.titledAt = 0;
    this.titles = {}; this.heads = {};
    this.canvases = {}; this.views = {}; this.places = {}; this.tiles = [];
    this.news = []; this.said = []; this.asked = this.answered = 0;
    this.local = null; this.dragged = null; this.sought = null; this.lost = false;
    this.painter = new Worker(URL.createObjectURL(new Blob([PAINTER], {type: 'text/javascript'})));
    this.painter.onmessage = event => this.hears(event.data);
    const moved = () => this.moved ??= requestAnimationFrame(() => { this.moved = null; this.asks(true); });
    for (const figure of Object.values(figures)) {
      figure.x_range.change.connect(moved); figure.y_range.change.connect(moved);
      figure.properties.inner_width.change.connect(moved);
      figure.properties.inner_height.change.connect(moved);
    }
    addEventListener('resize', moved);
    document.addEventListener('visibilitychange', () => {
      this.tell(document.hidden ? 'hidden' : 'visible');
      this.later();
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
    const news = {};
    for (const name of ['rows', 'behind']) {
      even();
      const [drop, keep, count, K] = head[name];
      const step = read(Float64Array, count), values = read(Float32Array, count * K);
      this[name].take(drop, keep, step, values, K);
      news[name] = [drop, keep, step, values, K];
    }
    even();
    if (head.pixels >= 0) news.pixels = read(Uint8Array, head.pixels);
    this.head = {...this.head, ...head};
    if (head.cursor === this.local && !this.dragged) this.local = null;
    this.shows(head);
    const {said, chosen, titles, ...drawn} = head;
    this.said.push({frame: head.frame, said, chosen});
    this.news.push({...news, head: drawn});
    this.later();
  }

  shows(head) {
    const page = document.getElementById('page');
    for (const [name, is] of [['open', head.said.drawer], ['wide', head.said.wide]]) {
      if (page.classList.contains(name) === is) continue;
      page.classList.toggle(name, is); dispatchEvent(new Event('resize'));
    }
    Object.assign(this.titles, head.titles);
    if (head.titles && !head.said.playing) this.writes();
    else if (head.titles) this.titling ??= setTimeout(() => this.writes(), this.titledAt + TITLES - performance.now());
    if (!head.absent) return;
    for (const name of Object.keys(this.figures)) {
      document.getElementById(name).classList.toggle('absent', head.absent.includes(name));
    }
  }

  writes() {
    for (const [name, text] of Object.entries(this.titles)) {
      const title = this.heads[name] ??= document.querySelector(`#${name} h2`);
      if (title.textContent !== text) title.textContent = text;
    }
    clearTimeout(this.titling);
    this.titling = null; this.titledAt = performance.now();
  }

  // What is drawn, and when ----------------------------------------------------------------------

  get cursor() { return this.local ?? this.head.cursor; }

  get due() { return this.waiting || this.answered < this.asked; }

  later() {
    // Once for all that one message of Bokeh's changes.
    if (this.waiting) return;
    this.waiting = true;
    queueMicrotask(() => this.asks(false));
  }

  asks(onlyMoved) {
    const faces = {}, canvases = {};
    for (const name of Object.keys(this.figures)) {
      const face = this.face(name, canvases);
      if (face !== undefined) faces[name] = face;
    }
    if (onlyMoved && !Object.keys(faces).length) return;
    this.waiting = false;
    document.getElementById('page').classList.toggle('ahead', this.cursor !== this.head.cursor);
    const {cursor, news} = this, {hidden} = document;
    const arrays = news.flatMap(one => [...one.rows, ...one.behind, one.pixels]).filter(ArrayBuffer.isView);
    this.painter.postMessage(
      {asked: ++this.asked, cursor, hidden, faces, canvases, news},
      [...arrays.map(one => one.buffer), ...Object.values(canvases)]);  // given away, not copied
    this.news = [];
  }

  face(name, canvases) {
    // Where a plot's axes are; null where it is not in sight, and nothing while they stay.
    const figure = this.figures[name];
    const view = this.views[name] ??= Bokeh.index.find_one(figure) ?? Bokeh.index.query_one(v => v.model === figure);
    const box = view?.frame?.bbox, held = this.places[name];
    if (!box || !(box.width > 0 && box.height > 0)) {
      delete this.views[name]; this.places[name] = null;
      return held === null ? undefined : null;
    }
    if (!this.canvases[name]) {
      this.canvases[name] = document.createElement('canvas');
      this.canvases[name].style.cssText = 'position: absolute; pointer-events: none;';
      canvases[name] = this.canvases[name].transferControlToOffscreen();
    }
    const canvas = this.canvases[name], below = view.canvas_view.primary.el;
    if (canvas.previousSibling !== below) below.after(canvas);
    // The layer above is for lost rows alone; an empty one costs the browser as much as a full one.
    const above = view.canvas_view.overlays.el.style, shown = this.head.gaps?.length ? '' : 'none';
    if (above.display !== shown) above.display = shown;
    const {left, top, right, bottom, width, height} = box, ratio = devicePixelRatio;
    const {x_range, y_range} = figure;
    const place = [left, top, width, height, ratio, x_range.start, x_range.end, y_range.start, y_range.end].join();
    if (place === held) return undefined;
    this.places[name] = place;
    for (const side of ['left', 'top', 'width', 'height']) canvas.style[side] = box[side] + 'px';
    const [x, y] = [view.frame.x_scale, view.frame.y_scale].map(scale => {
      const zero = scale.compute(0);
      return [zero, scale.compute(1) - zero];
    });
    return {box: {left, top, right, bottom, width, height}, ratio, x, y};
  }

  hears({asked, frame, tiles}) {
    this.answered = asked; this.tiles = tiles;
    let newest = null;
    while (this.said[0]?.frame <= frame) {
      newest = this.said.shift();
      if (newest.chosen) this.chosen = JSON.stringify(newest.chosen).slice(0, -1);
    }
    if (newest) this.says(newest.said);
    this.hover.say();
    if (frame === this.seen) return;
    this.seen = frame; this.painted++;
    this.saying ??= setTimeout(() => this.saysSeen(), Math.max(0, this.saidAt + SAYS - performance.now()));
  }

  says(said) {
    const comma = this.chosen.length > 1 ? ',' : '';
    document.getElementById('readout').textContent = this.chosen + comma + JSON.stringify(said).slice(1);
  }

  saysSeen() {
    this.tell(`seen ${this.seen} ${this.painted}`);
    this.saying = null; this.saidAt = performance.now(); this.painted = 0;
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
    if (row === this.sought) return;
    this.sought = row;
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
      this.dragged = section.id; this.sought = null;
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
