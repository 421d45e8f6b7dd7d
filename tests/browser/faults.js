// What is cut off, overlaps or is wider than its place on a page; see faults() in driving.py.
() => {
  const faults = new Set(), texts = [], controls = [];
  const up = e => e.parentElement || (e.getRootNode().host ?? null);
  const named = e => `${e.tagName.toLowerCase()} "${
    (e.textContent || e.value || '').trim().replace(/\s+/g, ' ').slice(0, 50)}"`;

  // The part of a box that is in sight, null for none; what is scrolled away is no fault.
  const inSight = (e, r, cuts) => {
    const box = {left: Math.max(r.left, 0), top: Math.max(r.top, 0),
      right: Math.min(r.right, innerWidth), bottom: Math.min(r.bottom, innerHeight)};
    let cut = '';
    for (let at = e; at && at !== document.documentElement; at = up(at)) {
      const style = getComputedStyle(at), b = at.getBoundingClientRect();
      if (['contents', 'inline'].includes(style.display)) continue;
      if (style.overflowX === 'visible' && style.overflowY === 'visible') continue;
      const across = box.right > b.right + 1 || box.left < b.left - 1;
      const down = box.bottom > b.bottom + 2 || box.top < b.top - 2;
      box.left = Math.max(box.left, b.left); box.right = Math.min(box.right, b.right);
      box.top = Math.max(box.top, b.top); box.bottom = Math.min(box.bottom, b.bottom);
      if (box.left >= box.right || box.top >= box.bottom) return null;
      const told = style.textOverflow === 'ellipsis';
      if ((across && !told) || (down && style.overflowY === 'hidden'))
        cut ||= `cut ${across ? 'across' : 'down'} by ${at.id || at.className || named(at)}`;
    }
    if (cut && cuts) faults.add(`${cut}: ${named(e)}`);
    return box.left < box.right && box.top < box.bottom ? box : null;
  };

  const look = e => {
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (!box.width || !box.height || e.closest('svg, #hidden')) return;
    const own = [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if ((own || ['BUTTON', 'SELECT', 'INPUT'].includes(e.tagName))
        && (box.right > innerWidth + 1 || box.left < -1)) faults.add(`beyond the window: ${named(e)}`);
    const scrolls = ['auto', 'scroll'].includes(style.overflowX);
    if (scrolls && e.scrollWidth > e.clientWidth + 1 && !['TEXTAREA', 'INPUT'].includes(e.tagName))
      faults.add(`wider than its place by ${e.scrollWidth - e.clientWidth}: ${e.id || e.className}`);
    const control = ['BUTTON', 'SELECT', 'INPUT', 'TEXTAREA'].includes(e.tagName)
      && !e.closest('.bk-spin-btn-up, .bk-spin-btn-down, .bk-spin-wrapper button');
    if (control || e.classList.contains('bk-Figure')) {
      const seen = inSight(up(e), box, true);
      if (control && seen) controls.push({e, box: seen});
      if (e.tagName === 'BUTTON' && e.scrollWidth > e.clientWidth + 1)
        faults.add(`spills: ${named(e)}`);
      if (e.tagName === 'SELECT' && e.selectedIndex >= 0 && seen) {
        const pen = document.createElement('canvas').getContext('2d');
        pen.font = style.font;
        const text = e.options[e.selectedIndex].text, arrow = 20;
        const room = e.clientWidth - parseFloat(style.paddingLeft) - arrow;
        if (pen.measureText(text).width > room + 1) faults.add(`chosen is cut: ${text}`);
      }
    }
    if (control) return;
    for (const node of e.childNodes) {
      if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const r of range.getClientRects()) {
        const seen = r.width ? inSight(e, r, true) : null;
        if (seen) texts.push({e, box: seen});
      }
    }
  };
  const walk = root => {
    for (const e of root.querySelectorAll('*')) {
      if (['STYLE', 'SCRIPT', 'OPTION', 'TITLE', 'NOSCRIPT'].includes(e.tagName)) continue;
      if (e.shadowRoot) walk(e.shadowRoot);
      if (e.checkVisibility({checkVisibilityCSS: true, checkOpacity: true})) look(e);
    }
  };
  walk(document);

  const meet = (a, b, by) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > by
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > by;
  const apart = (some, others, by) => {
    for (const a of some) for (const b of others)
      if (a.e !== b.e && !a.e.contains(b.e) && !b.e.contains(a.e) && meet(a.box, b.box, by))
        faults.add(`overlap: ${[named(a.e), named(b.e)].sort().join(' and ')}`);
  };
  apart(controls, controls, 1);
  apart(texts, texts, 4);
  apart(texts, controls, 4);
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) faults.add(`the page is ${wide} wide`);
  return [...faults];
}
