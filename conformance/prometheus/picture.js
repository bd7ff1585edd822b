// The dashboard as a picture: every panel where Grafana puts it, with what Prometheus has seen until now.

const COLUMNS = 24;
const CELL = { width: 56, height: 32 };
const COLOURS = ["#3f51b5", "#0f766e", "#b45309", "#be185d", "#4d7c0f", "#0369a1", "#7c3aed", "#b91c1c"];
/** The widest range that is drawn. */
const SECS_MAX = 300;

const escape = (text) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** A page with all panels of a dashboard; `plain` puts values in the place of its variables. */
export async function picture(prometheus, { title, panels }, plain) {
  const end = Date.now() / 1000;
  const drawn = await Promise.all(
    panels.map(async (panel) => {
      const found = await Promise.all(
        panel.targets.map(async ({ expr, legendFormat }) => {
          const range = { query: plain(expr), start: end - SECS_MAX, end, step: 1 };
          const { result } = await prometheus.ask("query_range", range);
          return result.map(({ metric, values }) => ({
            name: legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? ""),
            points: values.map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value)),
          }));
        }),
      );
      return { panel, lines: found.flat().filter(({ points }) => points.length > 0) };
    }),
  );
  const starts = drawn.flatMap(({ lines }) => lines.map(({ points }) => points[0][0]));
  const range = { start: Math.min(...starts, end - 1), end };
  const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * CELL.height;
  const cards = drawn.map(({ panel, lines }) => card(panel, lines, range)).join("");
  const style = `body { margin: 0; position: relative; font: 12px sans-serif; background: #f4f5f5 }
    section { position: absolute; box-sizing: border-box; padding: 8px; background: #fff; border: 1px solid #ddd; overflow: hidden }
    h2 { font-size: 13px; margin: 0 } p { margin: 0; line-height: 1.4 } svg { display: block; width: 100%; height: 110px }`;
  const html = `<!doctype html><title>${escape(title)}</title><style>${style}</style><body>${cards}`;
  return { html, width: COLUMNS * CELL.width, height };
}

function card({ title, gridPos: { x, y, w, h }, fieldConfig }, lines, { start, end }) {
  const { unit } = fieldConfig.defaults;
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value)), 0);
  const place = ([at, value]) =>
    `${(((at - start) / (end - start)) * 300).toFixed(1)},${(98 - (most && value / most) * 96).toFixed(1)}`;
  const colour = (index) => COLOURS[index % COLOURS.length];
  const paths = lines.map(
    ({ points }, index) =>
      `<polyline fill="none" stroke="${colour(index)}" vector-effect="non-scaling-stroke" points="${points.map(place).join(" ")}"/>`,
  );
  const legend = lines.map(
    ({ name, points }, index) =>
      `<span style="color:${colour(index)}">${escape(name)} ${shown(points.at(-1)[1], unit)}</span>`,
  );
  const at = `left:${x * CELL.width}px;top:${y * CELL.height}px;width:${w * CELL.width}px;height:${h * CELL.height}px`;
  return `<section style="${at}"><h2>${escape(title)}, up to ${shown(most, unit)}</h2>
    <svg viewBox="0 0 300 100" preserveAspectRatio="none">${paths.join("")}</svg><p>${legend.join(" · ")}</p></section>`;
}

const UNITS = { ops: "/s", Bps: "B/s", bytes: "B", s: "s", short: "" };

/** A value with its unit. */
function shown(value, unit) {
  const name = UNITS[unit];
  if (name === undefined) throw new Error(`a unit that is not known here: ${unit}`);
  if (unit === "s" && value < 1) return `${(value * 1000).toPrecision(3)} ms`;
  const power = Math.max(0, Math.min(3, Math.floor(Math.log10(value || 1) / 3)));
  return `${Number((value / 1000 ** power).toPrecision(3))} ${["", "k", "M", "G"][power]}${name}`;
}
