// Runs inside the page under test and leaves what it measured in the title: what sticks out, what is cut, what its bars say.
(() => {
  const found = [];
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) found.push(`page is ${page.scrollWidth} wide in a window of ${page.clientWidth}`);
  const near = 1.5;
  for (const svg of document.querySelectorAll('svg')) {
    const figure = svg.closest('section').id;
    const frame = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll('text')) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - near || box.right > frame.right + near || box.top < frame.top - near || box.bottom > frame.bottom + near)
        found.push(`${figure}: "${text.textContent}" sticks out of its chart`);
    }
    // Texts of one line must not run into each other.
    const boxes = [...svg.querySelectorAll('text')].map((t) => [t, t.getBoundingClientRect()]);
    for (let i = 0; i < boxes.length; i++)
      for (let j = i + 1; j < boxes.length; j++) {
        const [a, b] = [boxes[i][1], boxes[j][1]];
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left), down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 2 && down > 0.45 * Math.min(a.height, b.height)) found.push(`${figure}: "${boxes[i][0].textContent}" and "${boxes[j][0].textContent}" overlap`);
      }
  }
  for (const element of document.querySelectorAll('h1, h2, dt, dd, th, td, p')) {
    const style = getComputedStyle(element);
    if (element.scrollWidth > element.clientWidth + 1 && style.overflowX === 'hidden') found.push(`"${element.textContent}" is cut`);
    if (element.matches('dd, dt, h2, p') && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) found.push(`"${element.textContent}" is wider than its place`);
  }
  // Bars are as long as what they say: the ratio of width to value is the same within a chart, and the values are those of the table.
  let bars = 0;
  for (const section of document.querySelectorAll('section')) {
    const rects = [...section.querySelectorAll('svg rect[data-value]')];
    if (!rects.length || /^h\d$/.test(rects[0].getAttribute('class'))) continue;
    bars += rects.length;
    const ratios = rects.filter((r) => Math.abs(+r.dataset.value) > 0 && +r.getAttribute('width') > 20).map((r) => r.getAttribute('width') / Math.abs(+r.dataset.value));
    if (ratios.length && Math.max(...ratios) / Math.min(...ratios) > 1.02) found.push(`${section.id}: bars are not in proportion`);
  }
  for (const section of document.querySelectorAll('section')) {
    const cells = new Set([...section.querySelectorAll('td')].map((d) => Number(d.textContent)).filter((v) => !Number.isNaN(v)));
    for (const mark of section.querySelectorAll('svg [data-value]')) if (!cells.has(Number(mark.dataset.value)) && +mark.dataset.value !== 0) found.push(`${section.id}: ${mark.dataset.value} is drawn but not in the table`);
  }
  // Text on its ground: WCAG's contrast of 4.5.
  const light = (c) => c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rgb = (s) => s.match(/[\d.]+/g).slice(0, 3).map(Number);
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const ground = rgb(getComputedStyle(document.body).backgroundColor);
  for (const element of document.querySelectorAll('p, h2, td, th, dt, dd, summary, svg text:not([class^=t]):not(.in)')) {
    const style = getComputedStyle(element);
    const ratio = contrast(rgb(element.namespaceURI.endsWith('svg') ? style.fill : style.color), ground);
    if (ratio < 4.5) { found.push(`"${element.textContent.slice(0, 20)}" has a contrast of ${ratio.toFixed(1)}`); break; }
  }
  for (const text of document.querySelectorAll('svg text[class^=t]')) {
    const rect = [...text.parentNode.querySelectorAll('rect')].find((r) => { const b = r.getBoundingClientRect(), t = text.getBoundingClientRect(); return b.left <= t.left && b.right >= t.right - 1 && b.top <= t.top + 3 && b.bottom >= t.bottom - 3; });
    if (!rect) continue;
    const ratio = contrast(rgb(getComputedStyle(text).fill), rgb(getComputedStyle(rect).fill));
    if (ratio < 4.5) { found.push(`${text.closest('section').id}: "${text.textContent}" on ${rect.getAttribute('class')} has a contrast of ${ratio.toFixed(1)}`); break; }
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  if (new Set(ids).size !== ids.length) found.push('an id stands twice');
  document.title = JSON.stringify({ charts: document.querySelectorAll('svg').length, none: document.querySelectorAll('p.none').length, bars, found: [...new Set(found)] });
})();
