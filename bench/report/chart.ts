/**
 * A line chart as SVG, with the spread of every point. Both axes are logarithmic. Readable on light and dark pages: the background is
 * transparent, text and axes are of a gray that is seen on both, lines are told apart by dashes as well.
 */

export interface Line {
  name: string;
  points: { x: number; median: number; least: number; greatest: number }[];
}

export interface Chart {
  title: string;
  xName: string;
  yName: string;
  lines: Line[];
}

const WIDTH = 760, HEIGHT = 420, LEFT = 80, RIGHT = 190, TOP = 50, BOTTOM = 60;
const GRAY = "#808890";
const COLORS = ["#d9534f", "#3d8fd1", "#4aa564", "#b07cc6", "#d98e2b", "#7f8c8d", "#2a9d8f", "#8a6d3b"];
const DASHES = ["", "7 4", "2 4", "10 4 2 4", "4 2", "1 3", "12 3", "6 2 2 2"];

const escape = (text: string) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function short(value: number): string {
  for (const [unit, name] of [[1e6, "M"], [1e3, "k"]] as const) {
    if (value >= unit) return `${+(value / unit).toPrecision(3)} ${name}`;
  }
  return String(+value.toPrecision(3));
}

/** Values of an axis that get a line: 1, 2 and 5 of every power of ten. */
function ticks(from: number, to: number): number[] {
  const all: number[] = [];
  for (let power = 10 ** Math.floor(Math.log10(from)); power <= to; power *= 10) {
    all.push(...[1, 2, 5].map((factor) => factor * power));
  }
  return all.filter((value) => value >= from && value <= to);
}

function scale(from: number, to: number, start: number, end: number): (value: number) => number {
  const [low, high] = [Math.log(from), Math.log(to)];
  return (value) => +(start + (end - start) * (Math.log(value) - low) / (high - low || 1)).toFixed(1);
}

export function drawChart({ title, xName, yName, lines }: Chart): string {
  const points = lines.flatMap((line) => line.points);
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const low = Math.min(...points.map((point) => point.least)) / 1.2;
  const high = Math.max(...points.map((point) => point.greatest)) * 1.2;
  const x = scale(xs[0], xs[xs.length - 1], LEFT, WIDTH - RIGHT);
  const y = scale(low, high, HEIGHT - BOTTOM, TOP);
  const label = (left: number, top: number, anchor: string, words: string, more = "") =>
    `<text x="${left}" y="${top}" text-anchor="${anchor}" fill="${GRAY}"${more}>${escape(words)}</text>`;
  const parts = [label(LEFT, 24, "start", title, ' font-size="16"')];
  for (const value of ticks(low, high)) {
    parts.push(`<path d="M${LEFT} ${y(value)}H${WIDTH - RIGHT}" stroke="${GRAY}" stroke-opacity=".3"/>`);
    parts.push(label(LEFT - 8, y(value) + 4, "end", short(value)));
  }
  for (const value of xs) parts.push(label(x(value), HEIGHT - BOTTOM + 20, "middle", short(value)));
  parts.push(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 15, "middle", xName));
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  parts.push(label(18, middle, "middle", yName, ` transform="rotate(-90 18 ${middle})"`));
  lines.forEach((line, i) => {
    const color = COLORS[i % COLORS.length];
    const way = line.points.map(({ x: at, median }) => `${x(at)} ${y(median)}`).join("L");
    const dash = DASHES[i % DASHES.length];
    parts.push(
      `<path d="M${way}" fill="none" stroke="${color}" stroke-width="2" stroke-dasharray="${dash}"/>`,
    );
    for (const { x: at, median, least, greatest } of line.points) {
      parts.push(`<path d="M${x(at)} ${y(least)}V${y(greatest)}" stroke="${color}"/>`);
      parts.push(`<circle cx="${x(at)}" cy="${y(median)}" r="3.5" fill="${color}"/>`);
    }
    const row = TOP + 10 + 22 * i;
    const left = WIDTH - RIGHT + 20;
    parts.push(
      `<path d="M${left} ${row}h28" stroke="${color}" stroke-width="2" stroke-dasharray="${dash}"/>`,
    );
    parts.push(label(left + 36, row + 4, "start", line.name));
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" ` +
    `height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img">\n` +
    `<title>${escape(title)}</title>\n${parts.join("\n")}\n</svg>\n`;
}
