"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const W = 560, H = 280, L = 58, R = 14, T = 10, B = 34;
  const colour = (n) => `var(--c${n % 5})`;
  const svg = (name, attributes, parent) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (parent) parent.append(node);
    return node;
  };
  const html = (name, text, parent, cls) => {
    const node = document.createElement(name);
    node.textContent = text;
    if (cls) node.className = cls;
    parent.append(node);
    return node;
  };
  const short = (v) => v >= 1e6 ? (v / 1e6).toPrecision(3) + "M" : v >= 1e4 ? (v / 1e3).toPrecision(3) + "k"
    : v >= 100 ? v.toFixed(0) : String(+v.toPrecision(3));
  const ticks = (low, high) => {
    const raw = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(v);
    return found;
  };

  // series: [{name, points: [[x, y], ...], n}], lines: [{y, name}]
  function plot(title, xName, yName, series, lines = []) {
    series = series.filter((s) => s.points.length);
    if (!series.length) return;
    const figure = document.createElement("figure");
    document.getElementById("plots").append(figure);
    html("figcaption", title, figure);
    const xs = series.flatMap((s) => s.points.map((p) => p[0])), ys = series.flatMap((s) => s.points.map((p) => p[1]));
    const seen = Math.max(...ys);
    const near = lines.filter((l) => l.y <= seen * 4);
    const x0 = Math.min(...xs), x1 = Math.max(...xs, x0 + 1e-9), y1 = Math.max(seen, ...near.map((l) => l.y)) * 1.05 || 1;
    const X = (v) => L + (v - x0) / (x1 - x0) * (W - L - R), Y = (v) => H - B - v / y1 * (H - T - B);
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title }, figure);
    for (const v of ticks(0, y1)) {
      svg("line", { class: "axis", x1: L, x2: W - R, y1: Y(v), y2: Y(v) }, root);
      svg("text", { x: L - 6, y: Y(v) + 4, "text-anchor": "end" }, root).textContent = short(v);
    }
    for (const v of ticks(x0, x1)) svg("text", { x: X(v), y: H - B + 16, "text-anchor": "middle" }, root).textContent = short(v);
    svg("text", { x: (L + W - R) / 2, y: H - 3, "text-anchor": "middle" }, root).textContent = xName;
    svg("text", { x: 12, y: H / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${H / 2})` }, root).textContent = yName;
    for (const line of near) {
      svg("line", { class: "slo", x1: L, x2: W - R, y1: Y(line.y), y2: Y(line.y) }, root);
      svg("text", { x: W - R, y: Y(line.y) - 4, "text-anchor": "end" }, root).textContent = line.name;
    }
    for (const s of series) {
      const path = s.points.map((p, i) => `${i ? "L" : "M"}${X(p[0]).toFixed(1)},${Y(p[1]).toFixed(1)}`).join("");
      svg("path", { class: "curve", d: path, style: `stroke:${colour(s.n)}` }, root);
      if (s.points.length < 40) for (const p of s.points)
        svg("circle", { cx: X(p[0]), cy: Y(p[1]), r: 3, style: `fill:${colour(s.n)}` }, root);
    }
    const cursor = svg("line", { class: "cursor", y1: T, y2: H - B, x1: -9, x2: -9 }, root);
    const legend = html("div", "", figure, "legend");
    for (const s of series) html("span", "― " + s.name, legend).style.color = colour(s.n);
    const tip = html("div", "", figure, "tip");
    tip.hidden = true;
    root.addEventListener("pointermove", (event) => {
      const box = root.getBoundingClientRect();
      const at = x0 + ((event.clientX - box.left) / box.width * W - L) / (W - L - R) * (x1 - x0);
      const nearest = (s) => s.points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
      const found = series.map((s) => [s.name, nearest(s)]);
      cursor.setAttribute("x1", X(found[0][1][0]));
      cursor.setAttribute("x2", X(found[0][1][0]));
      tip.textContent = found.map(([name, p]) => `${name}: ${short(p[1])} (${xName} ${short(p[0])})`).join("\n");
      tip.hidden = false;
    });
    root.addEventListener("pointerleave", () => { tip.hidden = true; cursor.setAttribute("x1", -9); cursor.setAttribute("x2", -9); });
  }

  const runs = data.runs, of = (make) => runs.map((run, n) => ({ name: run.label, n, points: make(run) }));
  const curves = { ttft_ms: "Time to first token", itl_ms: "Between tokens", tpot_ms: "Per output token", e2e_ms: "Whole answer" };
  const bounds = (measure) => runs.flatMap((run) => run.goals).filter((g) => g.metric + "_ms" === measure)
    .map((g) => ({ y: g.bound, name: g.text }));
  const levels = (run, name) => run.levels.filter((l) => l[name] != null).map((l) => [l.load, l[name]]);
  const over = (runs.find((run) => run.over) || {}).over === "rate" ? "requests per second" : "users at a time";
  plot("Throughput by load", over, "tokens per second", of((run) => levels(run, "tokens_per_s")));
  plot("Goodput by load", over, "good requests per second", of((run) => levels(run, "goodput")));
  // An objective is drawn on the statistic that it is about.
  for (const [name, text] of [["ttft", "Time to first token"], ["tpot", "Per output token"], ["itl", "Between tokens"], ["e2e", "Whole answer"]]) {
    const goals = runs.flatMap((run) => run.goals).filter((g) => g.metric === name && ["p50", "p95", "p99"].includes(g.statistic));
    for (const statistic of new Set(goals.length ? goals.map((g) => g.statistic) : ["p95"]))
      plot(`${text} by load (${statistic})`, over, "ms", of((run) => levels(run, `${name}_${statistic}`)),
        goals.filter((g) => g.statistic === statistic).map((g) => ({ y: g.bound, name: g.text })));
  }
  for (const [measure, text] of Object.entries(curves))
    plot(`${text}: distribution`, "percent of requests", "ms", of((run) => (run.curves[measure] || []).map((v, i) => [data.shares[i], v])),
      bounds(measure));
  const time = (key) => of((run) => run.timeline.filter((c) => c[key] != null).map((c) => [c.at, c[key]]));
  plot("Output over time", "seconds", "tokens per second", time("tokens"));
  plot("Answers over time", "seconds", "answers per second", time("ok"));
  plot("First token over time (median)", "seconds", "ms", time("ttft_p50"));
  if (runs.some((run) => run.timeline.some((c) => c.failed))) plot("Failures over time", "seconds", "failures per second", time("failed"));
  document.documentElement.dataset.drawn = String(document.querySelectorAll("figure").length);
})();
