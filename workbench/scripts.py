"""What does the browser do by itself? It draws what moves, says what it has, and hears keys."""

import json

from workbench.places import assets

TAKES = """
globalThis.frameBoard ??= new FrameBoard({FIGURES}, globalThis.tell);
frameBoard.take(frames.data.frame);"""
"""Run for each message; the class is in assets/look/frames.js."""


def drawing() -> str:
    """Scripts of assets/look that take frames, say what is under the pointer, and draw.

    What draws is a text to them: they start it in a worker.
    """
    rows, painter, frames, hover = (
        (assets() / "look" / f"{name}.js").read_text("utf-8")
        for name in ("rows", "painter", "frames", "hover")
    )
    return f"const PAINTER = {json.dumps(rows + painter)};\n{rows}{frames}{hover}"


KEYS = """
const line = document.getElementById('line');
new MutationObserver((_, watch) => {
  if (!line.querySelector('[class*="bk-"]')) return;
  document.getElementById('boot').remove(); watch.disconnect();
}).observe(line, {childList: true, subtree: true});
const typing = new Set(['INPUT', 'TEXTAREA', 'SELECT']);
const keys = {' ': 'play', ArrowRight: 'right', ArrowLeft: 'left', Home: 'home', End: 'end',
  x: 'swap', n: 'next', r: 'restart', f: 'fit', c: 'choices', '[': 'before', ']': 'after',
  u: 'undo', U: 'redo'};
let pressed = 0, ear = null;
globalThis.tell = said => {
  ear ??= Bokeh.documents.map(d => d.get_model_by_name('heard')).find(m => m);
  if (ear) ear.value = said + ' ' + (++pressed);
};
addEventListener('keydown', event => {
  const at = event.composedPath()[0];
  const bare = !(event.ctrlKey || event.metaKey || event.altKey);
  const written = bare || event.getModifierState('AltGraph');  // some keyboards have [ there
  const undoes = !bare && !event.altKey && event.key.toLowerCase() === 'z';
  const name = undoes ? (event.shiftKey ? 'redo' : 'undo') : written ? keys[event.key] : null;
  if (!name || typing.has(at.tagName)) return;
  if (at.tagName === 'BUTTON' && event.key === ' ') return;
  event.preventDefault();
  const by = event.shiftKey ? 10 : 1;
  tell('key ' + name + ' ' + by);
  if (name === 'left' || name === 'right') globalThis.frameBoard?.moves(name === 'left' ? -by : by);
});
const asksFor = event => {
  const at = event.composedPath().find(one => one.dataset?.ask);
  if (at && !(event.type === 'click' && event.detail)) tell('ask ' + at.dataset.ask);
};
addEventListener('pointerdown', asksFor);  // it may be drawn anew before it is released
addEventListener('click', asksFor);  // by a key"""
"""Run at the end of the page: keys, and elements that say in `data-ask` what they ask for."""

KEEPS_SESSION = """
if (location.hash === '' && !new URLSearchParams(location.search).has('session')) {
  const mine = new URLSearchParams(location.search);
  mine.set('session', 'SESSION'); history.replaceState(null, '', '?' + mine);
}"""
"""Puts the id of the session into the address, so that a reload finds it."""

NAMES_PRESET = """
const mine = new URLSearchParams(location.search);
for (const name of ['state', 'run', 'batch']) mine.delete(name);
mine.set('preset', cb_obj.value); history.replaceState(null, '', '?' + mine);"""
"""Puts a preset that is chosen into the address, in the place of what the session began with."""
