// Generates docs/processes.svg from docs/processes.txt: lanes, and one line for each step. `--check` only compares.
import { readFileSync, writeFileSync } from 'node:fs';

const source = 'docs/processes.txt';
const target = 'docs/processes.svg';
const [width, top, row, margin] = [220, 60, 44, 110];

const lines = readFileSync(source, 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));
const lanes = lines[0]
  .replace(/^lanes: /, '')
  .split('|')
  .map((name) => name.trim());
const steps = lines.slice(1).map((line) => {
  const [, from, to, text] = /^(\w+)(?: -> (\w+))?: (.*)$/.exec(line);
  return { from: lanes.indexOf(from), to: to === undefined ? undefined : lanes.indexOf(to), text };
});

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const x = (lane) => margin + lane * width;
const height = top + steps.length * row + 20;
const whole = margin * 2 + (lanes.length - 1) * width;

const drawn = steps.flatMap(({ from, to, text }, index) => {
  const y = top + (index + 1) * row;
  const words = (at, anchor) => `<text x="${at}" y="${y - 8}" text-anchor="${anchor}">${escaped(text)}</text>`;
  if (to === undefined) {
    const isLast = from >= lanes.length / 2;
    return [`<circle cx="${x(from)}" cy="${y - 12}" r="4"/>`, words(x(from) + (isLast ? -10 : 10), isLast ? 'end' : 'start')];
  }
  const end = x(to) + (to > from ? -6 : 6);
  const isLong = text.length > 34 * Math.abs(to - from);
  const left = Math.min(x(from), x(to));
  return [
    `<line x1="${x(from)}" y1="${y}" x2="${end}" y2="${y}" marker-end="url(#arrow)"/>`,
    isLong && left === x(0)
      ? words(left + 8, 'start')
      : isLong
        ? words(Math.max(x(from), x(to)) - 8, 'end')
        : words((x(from) + x(to)) / 2, 'middle'),
  ];
});

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${whole} ${height}" font-family="sans-serif" font-size="12" stroke-width="1.2">
<title>The processes of one sandbox</title>
<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto"><path d="M0,0 L6,3 L0,6 z" fill="#345"/></marker></defs>
<rect width="${whole}" height="${height}" fill="#fff"/>
${lanes.map((name, lane) => `<line x1="${x(lane)}" y1="${top - 20}" x2="${x(lane)}" y2="${height - 10}" stroke="#bbb"/><text x="${x(lane)}" y="${top - 30}" text-anchor="middle" font-weight="bold">${name}</text>`).join('\n')}
<g stroke="#345" fill="#345">
${drawn.map((element) => (element.startsWith('<text') ? element.replace('<text', '<text stroke="none" fill="#123"') : element)).join('\n')}
</g>
</svg>
`;

if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') === svg) process.exit(0);
  console.error(`${target} is out of date: run scripts/build/picture.mjs and commit the result`);
  process.exit(1);
}
writeFileSync(target, svg);
