// Plots, the look at a token, and keys. Everything else is made on the server.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (what, from = document) => [...from.querySelectorAll(what)];
  const one = (what, from = document) => from.querySelector(what);

  // ---- dark or light
  const kept = () => { try { return localStorage.getItem("whet-theme"); } catch { return null; } };
  const wanted = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = (name) => { root.dataset.theme = name; repaint(); };
  const flip = () => {
    const name = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("whet-theme", name); } catch { /* a file may not keep anything */ }
    theme(name);
  };
  wanted.addEventListener("change", () => { if (!kept()) theme(wanted.matches ? "dark" : "light"); });

  // ---- plots
  const plots = new Map(); // figure -> {plot, shape}
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const short = (v) => v == null ? "–" : String(Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-3) ? v.toExponential(1) : +v.toPrecision(4)).replaceAll("-", "−");

  function curves() {
    const held = one("#curves");
    if (!held) return new Map();
    return new Map(JSON.parse(held.dataset.curves).map((chart) => [chart.key, chart]));
  }

  function columns(chart) {
    const data = [chart.x];
    for (const s of chart.series) {
      data.push(s.y);
      if (s.low) data.push(s.high, s.low);
    }
    return data;
  }

  function draw(figure, chart) {
    const series = [{ label: "step" }], bands = [];
    // where nobody points: the newest
    const told = (plot, v, s) => short(v ?? (plot.cursor.idx == null ? plot.data[s].findLast((y) => y != null) : null));
    chart.series.forEach((s, i) => {
      const colour = css(`--c${i % 7}`);
      const dash = i >= 7 ? [4, 3] : undefined;
      series.push({ label: s.label, stroke: colour, width: 1.5, dash, spanGaps: true, value: told, points: { show: chart.x.length < 3, size: 5 } });
      if (s.low) {
        const edge = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true, class: "edge" };
        series.push({ ...edge, label: `${s.label}, largest` }, { ...edge, label: `${s.label}, least` });
        bands.push({ series: [series.length - 2, series.length - 1], fill: colour + "26" });
      }
    });
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const plot = new uPlot({
      width: figure.clientWidth || 300, height: 170, series, bands,
      scales: { x: { time: false } },
      axes: [{ ...axis, size: 22, space: 60 }, { ...axis, size: 44, space: 28, values: (_, ticks) => ticks.map(short) }],
      cursor: { sync: { key: "step" }, drag: { x: true, y: false }, points: { size: 5 } },
      legend: { live: true },
    }, columns(chart), figure);
    all(".u-series", figure).forEach((line, i) => { if (series[i].class === "edge" || i === 0) line.hidden = true; });
    return plot;
  }

  function show() {
    const found = curves();
    for (const figure of all(".plot")) {
      const chart = found.get(figure.dataset.key), had = plots.get(figure);
      if (!chart || !figure.offsetParent) continue;
      const shape = root.dataset.theme + chart.series.map((s) => s.label + Boolean(s.low)).join("\n");
      if (had && had.shape === shape) { had.plot.setData(columns(chart)); continue; }
      if (had) had.plot.destroy();
      plots.set(figure, { plot: draw(figure, chart), shape });
      widths.observe(figure);
    }
  }
  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const had = plots.get(target), width = target.clientWidth;
      if (had && width && had.plot.width !== width) had.plot.setSize({ width, height: 170 });
    }
  });
  const repaint = () => { show(); paint(); };

  // ---- tokens
  let data = null, here = null;
  function tokens() {
    const held = one("#data");
    if (!held) return;
    data = { rows: JSON.parse(held.dataset.rows), scales: JSON.parse(held.dataset.scales), labels: JSON.parse(held.dataset.labels) };
    one("#colour").addEventListener("change", paint);
    for (const reader of all(".tokens")) {
      reader.addEventListener("mouseover", (e) => { const t = e.target.closest(".t"); if (t) look(t); });
      reader.addEventListener("click", (e) => { const t = e.target.closest(".t"); if (t) look(t); });
    }
    paint();
  }
  const at = (token) => token.dataset.i.split(".").map(Number);
  const value = (name, row, i) => { const a = data.rows[row].arrays[name]; return a ? a[i] : null; };

  function span(name) {
    // the 98th percentile of what is there: one far value must not make all others alike
    const sizes = data.rows.flatMap((row) => row.arrays[name] || []).filter((v) => v != null)
      .map((v) => Math.abs(data.scales[name] === "around 1" ? Math.log(Math.max(v, 1e-9)) : v)).sort((a, b) => a - b);
    return sizes.length ? sizes[Math.floor(0.98 * (sizes.length - 1))] || sizes[sizes.length - 1] : 0;
  }

  function paint() {
    if (!data) return;
    const name = one("#colour").value, scale = data.scales[name] || "high", most = span(name);
    for (const token of all(".t")) {
      const [row, i] = at(token), v = value(name, row, i);
      token.className = "t" + (token === here ? " here" : "") + " " + tint(name, scale, most, v, token);
    }
    legend(name, scale, most);
    if (here) look(here);
  }

  function tint(name, scale, most, v, token) {
    if (name === "who") return "w-" + (token.closest(".by-policy") ? "policy" : token.closest(".by-env") ? "env" : "prompt");
    if (v == null) return "none";
    if (scale === "flag") return v ? "flagged" : "";
    const share = most ? Math.min(1, Math.abs(scale === "around 1" ? Math.log(Math.max(v, 1e-9)) : v) / most) : 0;
    if (scale.startsWith("around")) {
      const up = scale === "around 1" ? v > 1 : v > 0, far = Math.ceil(share * 3 - 1e-9);
      return far ? `r${3 + (up ? far : -far)}` : "";
    }
    return `q${Math.round(share * 6)}`;
  }

  function legend(name, scale, most) {
    const chips = [];
    const chip = (cls, text) => { const c = document.createElement("span"); c.className = "chip " + cls; c.textContent = text; chips.push(c); };
    if (name === "who") { chip("w-policy", "policy"); chip("w-prompt", "prompt"); chip("w-env", "environment"); }
    else if (scale === "flag") { chip("flagged", "yes"); chip("", "no"); }
    else if (!most) chip("", scale === "around 1" ? "1 everywhere" : "0 everywhere");
    else if (scale === "around 1") { chip("r0", short(Math.exp(-most))); chip("", "1"); chip("r6", short(Math.exp(most))); }
    else if (scale === "around 0") { chip("r0", short(-most)); chip("", "0"); chip("r6", short(most)); }
    else { chip("", "0"); chip("q3", short((scale === "low" ? -1 : 1) * most / 2)); chip("q6", short((scale === "low" ? -1 : 1) * most)); }
    one("#legend").replaceChildren(...chips);
  }

  function look(token) {
    if (here) here.classList.remove("here");
    here = token;
    here.classList.add("here");
    const [row, i] = at(token), chosen = one("#colour").value;
    const big = document.createElement("p"), table = document.createElement("table");
    big.className = "big";
    big.replaceChildren(...[...token.childNodes].map((n) => n.cloneNode(true)));
    const line = (label, text, strong) => {
      const tr = table.insertRow(), th = document.createElement("th");
      th.textContent = label;
      tr.append(th);
      tr.insertCell().textContent = text;
      if (strong) tr.className = "chosen";
    };
    line("token", data.rows[row].ids[i]);
    line("place", i);
    line("written by", one("summary b", token.closest(".turn")).textContent, chosen === "who");
    for (const name of Object.keys(data.rows[row].arrays)) {
      const v = value(name, row, i), flag = data.scales[name] === "flag";
      line(data.labels[name] || name, v == null ? "–" : flag ? (v ? "yes" : "no") : short(v), name === chosen);
    }
    one("#look").replaceChildren(big, table);
  }

  function stepToken(by) {
    const list = all(".turn[open] .t");
    if (!list.length) return false;
    const next = list[Math.min(list.length - 1, Math.max(0, (here ? list.indexOf(here) : -1) + by))];
    look(next);
    next.scrollIntoView({ block: "nearest" });
    return true;
  }

  // ---- keys
  const rows = () => all(".row").filter((row) => row.offsetParent);
  function move(by) {
    const list = rows(), now = list.findIndex((row) => row.classList.contains("here"));
    if (!list.length) return;
    if (now >= 0) list[now].classList.remove("here");
    const next = list[Math.min(list.length - 1, Math.max(0, now + by))];
    next.classList.add("here");
    next.scrollIntoView({ block: "nearest" });
  }
  const press = (what) => { const found = one(what); if (found) found.click(); };
  const keys = {
    j: () => move(1), k: () => move(-1),
    Enter: () => { const link = one(".row.here [data-open]") || one(".row.here td.name a") || one(".row.here a"); if (link) link.click(); },
    x: () => press(".row.here input[type=checkbox]"),
    "/": () => { const search = one("input[type=search]"); if (search) { search.focus(); search.select(); } },
    "?": () => one("#help").showModal(),
    "[": () => press("[data-before]"), "]": () => press("[data-after]"),
    ArrowRight: () => stepToken(1), ArrowLeft: () => stepToken(-1),
    u: () => { const up = one("[data-up]") || one(".tabs [aria-current]") || one(".tabs a") || one(".mark"); if (up) up.click(); },
    t: flip, e: () => press("[data-export]"),
  };
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && document.activeElement) document.activeElement.blur();
    if (e.ctrlKey || e.metaKey || e.altKey || one("dialog[open]")) return;
    if (e.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (e.key === "Enter" && e.target.closest("a, button, summary")) return;
    if (keys[e.key]) { if (keys[e.key]() !== false) e.preventDefault(); }
  });

  // ---- choosing runs to compare: kept while the table is asked for again
  function chosen() {
    const button = one("[data-compare-button]");
    if (button) button.disabled = all("[data-compare] input:checked").length < 2;
  }
  document.addEventListener("change", chosen);

  root.dataset.theme = kept() || (wanted.matches ? "dark" : "light");
  document.addEventListener("click", (e) => {
    if (e.target.closest("[data-theme-toggle]")) flip();
    if (e.target.closest("[data-help]")) one("#help").showModal();
  });
  document.addEventListener("toggle", (e) => { if (e.target.matches("[data-plots]")) show(); }, true);
  document.addEventListener("htmx:afterSettle", () => { show(); chosen(); });
  show();
  tokens();
  chosen();
  root.dataset.ready = "yes";
})();
