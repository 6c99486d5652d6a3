"use strict";
/* Tables, plots and views of a report, from the data of its page. Every text becomes a text node: nothing is markup. */
(() => {
  const PAGE = 25;
  const DOTS = 150;
  const SVG = "http://www.w3.org/2000/svg";
  const SECTIONS = [
    ["metrics", "Metrics"], ["tags", "Tags"], ["config", "Configuration"], ["training_config", "Training configuration"],
    ["features", "Features"], ["selection", "Selected features"], ["schema", "Feature schema"], ["components", "Components"],
    ["files", "Files"], ["origin", "Origin"], ["environment", "Environment"],
  ];
  const data = JSON.parse(document.getElementById("data").textContent);
  const whole = new Intl.NumberFormat("en-US");

  function put(parent, name, attributes, ...children) {
    const made = name === "svg" || parent instanceof SVGElement
      ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    if (parent) parent.append(made);
    return made;
  }

  function number(value) {
    if (typeof value !== "number") return value === undefined || value === null ? "" : String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value).replace("-", "−");
    const size = Math.abs(value);
    const text = size < 1e-4 || size >= 1e7 ? value.toExponential(4) : String(Number(value.toPrecision(6)));
    return text.replaceAll("-", "−");
  }

  function bytes(size) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let place = 0;
    for (; size >= 1024 && place < units.length - 1; place += 1) size /= 1024;
    return `${place ? size.toFixed(1) : size} ${units[place]}`;
  }

  const moment = (text) => text.slice(0, 19).replace("T", " ");
  const has = (object, name) => Object.prototype.hasOwnProperty.call(object, name);
  const numeric = (value) => (typeof value === "number" ? value : { Infinity: Infinity, "-Infinity": -Infinity }[value] ?? NaN);

  /* What is not there comes last, whichever way it is sorted. */
  function compare(a, b, down) {
    const lacks = (value) => value === undefined || value === null || value === "" || Number.isNaN(value);
    if (lacks(a) || lacks(b)) return lacks(a) - lacks(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b || 0 : (a > b) - (a < b);
    return down ? -order : order;
  }

  /* ------------------------------------------------------------ search */

  /* `sharpe>1.2 fold=7 text`: every word has to hold. A word with a sign asks a metric or a tag, if there is one. */
  function condition(word, known) {
    const found = /^([^<>=!]+)(>=|<=|!=|=|>|<)(.+)$/.exec(word);
    if (!found || !known.has(found[1].toLowerCase())) {
      const wanted = word.toLowerCase();
      return (item) => item.text.includes(wanted);
    }
    const [, name, sign, text] = found;
    const limit = Number(text);
    return (item) => {
      const value = item.values[name.toLowerCase()];
      if (value === undefined) return false;
      const both = typeof value === "number" && !Number.isNaN(limit);
      const [a, b] = both ? [value, limit] : [String(value).toLowerCase(), text.toLowerCase()];
      return { ">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b, "=": a === b, "!=": a !== b }[sign];
    };
  }

  function searched(items, text) {
    const words = text.trim().split(/\s+/).filter(Boolean);
    if (!words.length) return items;
    const known = new Set(items.flatMap((item) => Object.keys(item.values)));
    const conditions = words.map((word) => condition(word, known));
    return items.filter((item) => conditions.every((holds) => holds(item)));
  }

  function searchField(tools, id, label, changed) {
    const field = put(put(tools, "label", { class: "search", for: id }, label), "input", {
      id, type: "search", autocomplete: "off", spellcheck: "false",
    });
    let waits = 0;
    field.addEventListener("input", () => {
      clearTimeout(waits);
      waits = setTimeout(() => changed(field.value), 60);
    });
    return field;
  }

  function sortButtons(heads, sorted, choose) {
    for (const [place, head] of heads) {
      const button = put(null, "button", { type: "button" }, ...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const first = head.classList.contains("number") || head.hasAttribute("data-down");
        sorted.down = sorted.place === place ? !sorted.down : first;
        sorted.place = place;
        choose();
      });
    }
  }

  function showSorted(heads, sorted) {
    for (const [place, head] of heads) {
      head.setAttribute("aria-sort", place !== sorted.place ? "none" : sorted.down ? "descending" : "ascending");
    }
  }

  /* ------------------------------------------------------------ tables */

  /* columns: {title, value(item), cell(td, item), number, down, class, row}. Sorts and pages; `search` adds a field. */
  function table(home, { id, caption, columns, items, search, hint, noun, start, size = PAGE }) {
    const sorted = { place: -1, down: false, ...start };
    let shown = items;
    let page = 0;
    const many = items.length > 8;
    const tools = put(home, "div", { class: "tools" });
    if (search && many) {
      searchField(tools, `${id}-search`, search, (text) => {
        shown = searched(items, text);
        page = 0;
        draw();
      });
    }
    const status = put(tools, "p", { class: "status", role: "status", "aria-live": "polite" });
    if (!many) tools.hidden = true;
    if (search && many && hint) home.append(hint);
    const region = put(home, "div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" });
    const made = put(region, "table", { id });
    put(made, "caption", { class: "unseen" }, caption);
    const row = put(put(made, "thead"), "tr");
    const heads = columns.map((column, place) => [place, put(row, "th", {
      scope: "col", class: column.number ? "number" : null, "data-down": column.down || null,
    }, column.title)]);
    const sortable = heads.filter(([place]) => columns[place].value);
    if (items.length > 1) sortButtons(sortable, sorted, () => { page = 0; draw(); });
    const body = put(made, "tbody");
    const pager = put(home, "nav", { class: "pager", "aria-label": `Pages of ${caption.toLowerCase()}` });
    const back = put(pager, "button", { type: "button", class: "button" }, "Previous");
    const where = put(pager, "span");
    const on = put(pager, "button", { type: "button", class: "button" }, "Next");
    back.addEventListener("click", () => { page -= 1; draw(); });
    on.addEventListener("click", () => { page += 1; draw(); });

    function draw() {
      const column = columns[sorted.place];
      if (items.length > 1) showSorted(sortable, sorted);
      const keyed = column
        ? shown.map((item) => [column.value(item), item]).sort((a, b) => compare(a[0], b[0], sorted.down)).map((pair) => pair[1])
        : shown;
      const pages = Math.max(1, Math.ceil(keyed.length / size));
      const begin = page * size;
      const lines = keyed.slice(begin, begin + size).map((item) => {
        const line = put(null, "tr");
        for (const each of columns) {
          const cell = put(line, each.row ? "th" : "td", {
            scope: each.row ? "row" : null, class: [each.number && "number", each.class].filter(Boolean).join(" ") || null,
          });
          each.cell(cell, item);
        }
        return line;
      });
      body.replaceChildren(...lines);
      if (!lines.length) put(put(body, "tr"), "td", { colspan: columns.length, class: "dim" }, "Nothing fits.");
      pager.hidden = pages === 1;
      back.disabled = page === 0;
      on.disabled = page >= pages - 1;
      where.textContent = `Page ${page + 1} of ${pages}`;
      status.textContent = shown.length === items.length
        ? `${whole.format(items.length)} ${noun}` : `${whole.format(shown.length)} of ${whole.format(items.length)} ${noun}`;
    }
    draw();
  }

  /* A table that is in the page already: its rows are moved and hidden. */
  function upgrade(made) {
    const rows = [...made.tBodies[0].rows];
    const heads = [...made.tHead.rows[0].cells].map((head, place) => [place, head]).filter(([, head]) => head.dataset.sort);
    const sorted = { place: -1, down: false };
    const values = new Map(rows.map((row) => [row, { row, text: row.textContent.toLowerCase(), values: {} }]));
    const tools = document.querySelector(`[data-tools-of="${made.id}"]`);
    const search = (text) => {
      const fits = new Set(searched([...values.values()], text).map((item) => item.row));
      for (const row of rows) row.hidden = !fits.has(row);
      status.textContent = fits.size === rows.length ? `${rows.length} models` : `${fits.size} of ${rows.length} models`;
    };
    searchField(tools, `${made.id}-search`, "Search models, aliases and runs", search);
    const status = put(tools, "p", { class: "status", role: "status", "aria-live": "polite" });
    search("");
    sortButtons(heads, sorted, () => {
      const kind = heads.find(([place]) => place === sorted.place)[1].dataset.sort;
      const value = (row) => {
        const text = row.cells[sorted.place].dataset.value;
        return kind === "number" && text !== "" ? Number(text) : text;
      };
      showSorted(heads, sorted);
      made.tBodies[0].append(...[...rows].sort((a, b) => compare(value(a), value(b), sorted.down)));
    });
  }

  /* ------------------------------------------------------------ a model */

  if (!data.model) {
    const made = document.querySelector("table[data-static]");
    if (made) upgrade(made);
    return;
  }

  const fields = ["id", "created", "files", "size", "description", "metrics", "tags", "manifest"];
  const runs = data.runs.map((row) => Object.fromEntries(row.map((value, place) => [fields[place], value])));
  const byId = new Map(runs.map((run) => [run.id, run]));
  const names = new Map();
  for (const [alias, id] of data.aliases) if (id) names.set(id, [...(names.get(id) || []), alias]);
  const aliasesOf = (run) => names.get(run.id) || [];
  for (const run of runs) {
    run.values = {};
    for (const [name, value] of Object.entries(run.tags)) run.values[name.toLowerCase()] = value;
    for (const [name, value] of Object.entries(run.metrics)) run.values[name.toLowerCase()] = numeric(value);
    const tags = Object.entries(run.tags).map(([name, value]) => `${name}=${value}`);
    run.text = [run.id, run.description, ...aliasesOf(run), ...tags].join("\n").toLowerCase();
  }
  const counts = new Map();
  for (const run of runs) for (const name of Object.keys(run.metrics)) counts.set(name, (counts.get(name) || 0) + 1);
  const metrics = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));

  const runLink = (parent, id) => (byId.has(id)
    ? put(parent, "a", { href: `#run=${id}`, class: "code" }, id) : put(parent, "span", { class: "code dim" }, `${id} (gone)`));
  const badges = (parent, run) => aliasesOf(run).forEach((alias) => put(parent, "span", { class: "badge alias" }, alias));

  function runTable() {
    const home = document.getElementById("runs");
    home.hidden = false;
    if (!runs.length) {
      put(home, "p", { class: "empty" }, "No run of this model is there.");
      return;
    }
    const tagged = runs.some((run) => Object.keys(run.tags).length);
    const described = runs.some((run) => run.description);
    const hint = put(null, "p", { class: "hint" }, "Words are looked for in ids, aliases, tags and descriptions. Metrics and tags can be compared: ");
    if (metrics.length) put(hint, "code", {}, `${metrics[0]}>0.5`);
    const tag = runs.flatMap((run) => Object.entries(run.tags))[0];
    if (tag && metrics.length) hint.append(" ");
    if (tag) put(hint, "code", {}, tag.join("="));
    table(home, {
      size: 50, id: "run-table", caption: "Runs", noun: "runs", items: runs,
      search: "Search and filter runs", hint: metrics.length || tag ? hint : null,
      columns: [
        { title: "Run", row: true, value: (run) => run.id, down: true, cell: (td, run) => runLink(td, run.id) },
        { title: "Aliases", value: (run) => aliasesOf(run).join(" "), cell: badges },
        { title: "Saved (UTC)", value: (run) => run.created, down: true, cell: (td, run) => td.append(moment(run.created).slice(0, 16)) },
        ...metrics.slice(0, 6).map((name) => ({
          title: name, number: true, value: (run) => numeric(run.metrics[name]),
          cell: (td, run) => td.append(number(run.metrics[name])),
        })),
        { title: "Size", number: true, value: (run) => run.size, cell: (td, run) => td.append(bytes(run.size)) },
        ...(tagged ? [{
          title: "Tags", class: "wide tags", cell: (td, run) => td.append(Object.entries(run.tags).map((pair) => pair.join("=")).join(", ")),
        }] : []),
        ...(described ? [{ title: "Description", class: "prose", cell: (td, run) => td.append(run.description) }] : []),
      ],
    });
  }

  function historyTable() {
    const home = document.getElementById("history");
    home.hidden = false;
    if (!data.history.length) {
      put(home, "p", { class: "empty" }, "Nothing of this model was ever published.");
      return;
    }
    const items = data.history.map(([alias, seq, id, at, by, reason]) => ({
      alias, seq, id, at, by, reason, values: { alias, by }, text: [alias, id || "retired", by, reason].join("\n").toLowerCase(),
    }));
    table(home, {
      id: "history-table", caption: "History", noun: "publishes", items, search: "Search the history",
      columns: [
        { title: "Published (UTC)", value: (item) => item.at, down: true, cell: (td, item) => td.append(moment(item.at).slice(0, 16)) },
        { title: "Alias", row: true, value: (item) => item.alias, cell: (td, item) => put(td, "span", { class: "badge alias" }, item.alias) },
        { title: "Seq", number: true, value: (item) => item.seq, cell: (td, item) => td.append(item.seq) },
        { title: "Run", value: (item) => item.id || "", cell: (td, item) => (item.id ? runLink(td, item.id) : td.append("retired")) },
        { title: "By", value: (item) => item.by, cell: (td, item) => td.append(item.by) },
        { title: "Reason", class: "prose", cell: (td, item) => td.append(item.reason) },
      ],
    });
  }

  /* ------------------------------------------------------------ the plot */

  function ticks(low, high) {
    const rough = (high - low) / 6 || Math.abs(high) || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6 && found.length < 12; at += step) found.push(at);
    return found;
  }

  function plot(home) {
    if (!metrics.length) return;
    home.hidden = false;
    const tools = put(home, "div", { class: "tools" });
    const choice = put(put(tools, "label", { for: "metric" }, "Metric"), "select", { id: "metric" });
    for (const name of metrics) put(choice, "option", { value: name }, name);
    choice.value = has(Object.fromEntries(counts), data.headline) ? data.headline : metrics[0];
    const frame = put(home, "div", { class: "plot" });
    let width = 0;

    function draw() {
      width = frame.clientWidth;
      const name = choice.value;
      const points = runs.map((run) => ({ run, at: Date.parse(run.created), value: numeric(run.metrics[name]) }))
        .filter((point) => Number.isFinite(point.value) && Number.isFinite(point.at)).reverse();
      points.sort((a, b) => a.at - b.at);
      frame.replaceChildren();
      if (!points.length) {
        put(frame, "p", { class: "dim" }, `No run has a finite ${name}.`);
        return;
      }
      const values = points.map((point) => point.value);
      let low = values.reduce((a, b) => Math.min(a, b));
      let high = values.reduce((a, b) => Math.max(a, b));
      const summary = `${name} over time: ${points.length} runs, lowest ${number(low)}, highest ${number(high)}, last ${number(values[values.length - 1])}. The table of runs has all values.`;
      if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
      const [first, last] = [points[0].at, points[points.length - 1].at];
      const [wide, tall, left, right, top, bottom] = [Math.max(width - 20, 240), 270, 62, 18, 24, 46];
      const x = (at) => (first === last ? (left + wide - right) / 2 : left + ((at - first) / (last - first)) * (wide - left - right));
      const y = (value) => top + (1 - (value - low) / (high - low)) * (tall - top - bottom);
      const svg = put(frame, "svg", { viewBox: `0 0 ${wide} ${tall}`, height: tall, role: "group", "aria-label": summary });
      for (const tick of ticks(low, high)) {
        put(svg, "line", { class: "grid", x1: left, x2: wide - right, y1: y(tick), y2: y(tick) });
        put(svg, "text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, number(Number(tick.toPrecision(12))));
      }
      const days = first === last ? [first] : wide < 480 ? [first, last] : [first, first + (last - first) / 2, last];
      const within = last - first < 2 * 86400e3 ? [5, 16] : [0, 10];
      days.forEach((at, place) => put(svg, "text", {
        x: x(at), y: tall - 7, "text-anchor": days.length === 1 ? "middle" : place === 0 ? "start" : place === days.length - 1 ? "end" : "middle",
      }, new Date(at).toISOString().slice(...within).replace("T", " ")));
      const crowded = points.length > DOTS;
      put(svg, "polyline", {
        class: crowded ? "curve thin" : "curve", points: points.map((point) => `${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`).join(" "),
      });
      const marked = points.filter((point) => !crowded || aliasesOf(point.run).length);
      const taken = [];
      for (const point of marked) {
        const place = points.indexOf(point);
        const beside = [points[place - 1], points[place + 1]].filter(Boolean).map((other) => other.value);
        const under = beside.reduce((sum, value) => sum + value, 0) / beside.length > point.value;
        const aliases = aliasesOf(point.run);
        const said = [point.run.id, `${name} ${number(point.value)}`, ...aliases].join(", ");
        const link = put(svg, "a", { href: `#run=${point.run.id}`, class: aliases.length ? "named" : null, "aria-label": said });
        put(put(link, "circle", { cx: x(point.at), cy: y(point.value), r: aliases.length ? 5 : 3.5 }), "title", {}, said);
        const text = aliases.join(", ");
        const end = x(point.at) > wide / 2;
        const from = end ? x(point.at) - text.length * 7 : x(point.at);
        const above = y(point.value) + (under ? 20 : -10);
        if (aliases.length && !taken.some(([a, b, c]) => from < b && from + text.length * 7 > a && Math.abs(c - above) < 15)) {
          taken.push([from, from + text.length * 7, above]);
          put(link, "text", { x: x(point.at) + (end ? 5 : -5), y: above, "text-anchor": end ? "end" : "start" }, text);
        }
      }
    }
    choice.addEventListener("change", draw);
    new ResizeObserver(() => { if (frame.clientWidth && frame.clientWidth !== width) draw(); }).observe(frame);
    draw();
  }

  /* ------------------------------------------------------------ a run */

  function section(home, title, note) {
    const made = put(home, "section");
    const head = put(made, "h2", {}, title);
    head.id = `s-${title.toLowerCase().replace(/\W+/g, "-")}`;
    made.setAttribute("aria-labelledby", head.id);
    if (note) put(made, "p", { class: "hint" }, note);
    return made;
  }

  function facts(home, pairs) {
    const list = put(home, "dl", { class: "facts" });
    for (const [name, value, kind] of pairs) {
      put(list, "dt", {}, name);
      const cell = put(list, "dd", { class: kind || null });
      if (typeof value === "function") value(cell);
      else cell.append(value);
    }
  }

  function crumbs(...parts) {
    const list = document.querySelector(".path ol");
    [...list.children].slice(2).forEach((item) => item.remove());
    list.children[1].firstChild.toggleAttribute("aria-current", !parts.length);
    if (!parts.length) list.children[1].firstChild.setAttribute("aria-current", "page");
    parts.forEach((text, place) => put(put(list, "li"), "a", {
      href: location.hash, "aria-current": place === parts.length - 1 ? "page" : null,
    }, text));
  }

  function features(home, detail) {
    const said = detail.sections.features;
    const all = Object.keys(said);
    if (!all.length) return;
    const chosen = new Set(Object.keys(detail.sections.selection));
    const schema = detail.sections.schema;
    const weights = detail.importances ? detail.importances.values : {};
    const rest = detail.importances ? Object.keys(weights).filter((name) => !has(said, name)) : [];
    const most = Math.max(0, ...Object.values(weights));
    const notes = [`${all.length} in the order of training`];
    if (chosen.size < all.length) notes.push(`${chosen.size} selected`);
    if (detail.importances) notes.push(`importances: ${detail.importances.kind}, from ${detail.importances.file}`);
    const made = section(home, "Features", `${notes.join("; ")}.`);
    const items = [...all, ...rest].map((name, place) => ({
      name, place: place + 1, dtype: said[name] ?? "", chosen: chosen.has(name) || !has(said, name), weight: weights[name] ?? (detail.importances && chosen.has(name) ? 0 : undefined), values: {}, text: name.toLowerCase(),
    }));
    table(made, {
      id: "feature-table", caption: "Features", noun: "features", items, search: "Search features",
      columns: [
        { title: "No.", number: true, value: (item) => -item.place, cell: (td, item) => td.append(item.place) },
        { title: "Feature", row: true, class: "code", value: (item) => item.name, cell: (td, item) => td.append(item.name) },
        { title: "Type", class: "wide", value: (item) => item.dtype, cell: (td, item) => td.append(item.dtype) },
        ...(chosen.size < all.length ? [{
          title: "Selected", value: (item) => (item.chosen ? "a" : "b"), cell: (td, item) => td.append(item.chosen ? "yes" : "no"),
        }] : []),
        ...(detail.importances ? [{
          title: "Importance", number: true, value: (item) => item.weight ?? NaN, cell: (td, item) => td.append(number(item.weight)),
        }, {
          title: "", cell: (td, item) => {
            if (item.weight === undefined) return;
            const svg = put(td, "svg", { class: "bars", viewBox: "0 0 160 10", width: 160, height: 10, "aria-hidden": "true" });
            put(svg, "rect", { class: "track", width: 160, height: 10, rx: 2 });
            put(svg, "rect", { width: most > 0 ? (160 * Math.max(0, item.weight)) / most : 0, height: 10, rx: 2 });
          },
        }] : []),
      ],
      start: detail.importances ? { place: chosen.size < all.length ? 4 : 3, down: true } : {},
    });
    facts(section(home, "Feature schema"), Object.entries(schema).filter(([, value]) => value !== "null" && value !== '""'));
  }

  function named(home, title, values) {
    const pairs = Object.entries(values);
    if (pairs.length) facts(section(home, title), pairs.map(([name, value]) => [name, value]));
  }

  function lineage(home, run, detail) {
    const made = section(home, "Lineage");
    const children = runs.filter((other) => has(data.details, other.id) && (data.details[other.id].parent || {}).run === run.id);
    const served = data.history.filter((entry) => entry[2] === run.id);
    const parent = detail.parent;
    facts(made, [
      ["Parent", (dd) => {
        if (!parent) dd.append("none recorded");
        else if (parent.run && byId.has(parent.run)) runLink(dd, parent.run);
        else put(dd, "span", { class: "code" }, parent.ref);
        if (parent && parent.manifest) put(dd, "span", { class: "code dim" }, ` sha256 ${parent.manifest}`);
      }],
      ...(children.length ? [["Made from it", (dd) => children.forEach((child, place) => {
        if (place) dd.append(", ");
        runLink(dd, child.id);
      })]] : []),
      ...Object.entries(detail.data).map(([name, text]) => [`Data: ${name}`, text, "code"]),
      ["Published", served.length
        ? (dd) => served.forEach(([alias, seq, , at, by, reason]) => put(dd, "div", {}, `${alias}, seq ${seq}, ${moment(at)} UTC, by ${by}${reason ? `: ${reason}` : ""}`))
        : "never"],
    ]);
  }

  const KINDS = { same: "good", compatible: "good", unknown: "warn", risky: "bad" };

  function environment(home, detail) {
    const made = section(home, "Environment", "Compared with the environment that the report was made in.");
    const { verdict, remarks } = detail.environment;
    facts(made, [
      ["Verdict", (dd) => put(dd, "span", { class: `badge ${KINDS[verdict]}` }, verdict)],
      ...remarks.map((remark) => [remark[0], remark[1]]),
      ...Object.entries(detail.sections.environment).filter(([name]) => !name.startsWith("packages.")).map(([name, value]) => [name, value]),
    ]);
    const packages = Object.entries(detail.sections.environment).filter(([name]) => name.startsWith("packages."));
    if (!packages.length) return;
    const items = packages.map(([name, version]) => ({ name: name.slice(9), version, values: {}, text: name.slice(9).toLowerCase() }));
    const more = put(made, "details");
    put(more, "summary", {}, `${packages.length} packages`);
    table(more, {
      id: "package-table", caption: "Packages", noun: "packages", items, search: "Search packages",
      columns: [
        { title: "Package", row: true, value: (item) => item.name, cell: (td, item) => td.append(item.name) },
        { title: "Version", cell: (td, item) => td.append(item.version) },
      ],
    });
  }

  function turning(home, run) {
    const place = runs.indexOf(run);
    const older = runs[place + 1];
    const newer = runs[place - 1];
    const bar = put(home, "div", { class: "turn" });
    if (older) put(bar, "a", { class: "button", href: `#run=${older.id}` }, "← Older");
    if (newer) put(bar, "a", { class: "button", href: `#run=${newer.id}` }, "Newer →");
    if (older) put(bar, "a", { class: "button", href: `#diff=${older.id}..${run.id}` }, "Compare with the run before");
    const near = runs.slice(Math.max(0, place - 10), place + 11).concat(runs.filter((other) => aliasesOf(other).length));
    const others = [...new Set(near)].filter((other) => other !== run);
    if (!others.length) return;
    const choice = put(put(bar, "label", { class: "field", for: "other" }, "Compare with"), "select", { id: "other" });
    for (const other of others) put(choice, "option", { value: other.id }, [other.id, ...aliasesOf(other)].join(", "));
    const go = put(bar, "button", { type: "button", class: "button" }, "Compare");
    go.addEventListener("click", () => { location.hash = `#diff=${choice.value}..${run.id}`; });
  }

  function showRun(home, id) {
    const run = byId.get(id);
    crumbs(id);
    const head = put(home, "div", { class: "run-head" });
    put(head, "h1", { tabindex: "-1", class: "code" }, id);
    if (!run) {
      put(home, "p", { class: "empty" }, "This run is not in the report: it was deleted, or saved later.");
      return;
    }
    badges(head, run);
    turning(home, run);
    if (run.description) put(home, "p", { class: "lede" }, run.description);
    const detail = data.details[id];
    const ref = `${data.model}:${id}`;
    facts(home, [
      ["Saved", `${moment(run.created)} UTC`],
      ["Reference", ref, "code"],
      ["Size", `${bytes(run.size)} in ${run.files} files`],
      ["Manifest", `sha256 ${run.manifest}`, "code"],
      ...(detail ? detail.facts : []),
    ]);
    const pair = put(home, "div", { class: "pair" });
    named(pair, "Metrics", Object.fromEntries(Object.entries(run.metrics).map(([name, value]) => [name, number(value)])));
    named(pair, "Tags", run.tags);
    if (!detail) {
      put(home, "p", { class: "empty" }, "Features, files and the environment of this run are not in this report, which has them of the newest runs and of those that an alias names. ")
        .append("With --all it has them of every run; and ", put(null, "code", {}, `artifact-store show ${ref}`), " shows them.");
      return;
    }
    features(home, detail);
    const sides = put(home, "div", { class: "pair" });
    named(sides, "Configuration", detail.sections.config);
    named(sides, "Training configuration", detail.sections.training_config);
    named(sides, "Made by", detail.made);
    table(section(home, "Components"), {
      id: "component-table", caption: "Components", noun: "components",
      items: detail.components.map(([name, codec, risk, type, files]) => ({ name, codec, risk, type, files, values: {}, text: name })),
      columns: [
        { title: "Component", row: true, value: (item) => item.name, cell: (td, item) => td.append(item.name) },
        { title: "Codec", value: (item) => item.codec, cell: (td, item) => td.append(item.codec) },
        { title: "Risk", value: (item) => item.risk, cell: (td, item) => put(td, "span", { class: `badge ${item.risk === "code" ? "bad" : "good"}` }, item.risk) },
        { title: "Type", class: "code", value: (item) => item.type, cell: (td, item) => td.append(item.type) },
        { title: "Files", class: "wide code", cell: (td, item) => td.append(item.files.join(", ")) },
      ],
    });
    table(section(home, "Files"), {
      id: "file-table", caption: "Files", noun: "files", search: "Search files",
      items: detail.files.map(([path, size, digest]) => ({ path, size, digest, values: {}, text: `${path}\n${digest}`.toLowerCase() })),
      columns: [
        { title: "File", row: true, class: "code", value: (item) => item.path, cell: (td, item) => td.append(item.path) },
        { title: "Size", number: true, value: (item) => item.size, cell: (td, item) => td.append(bytes(item.size)) },
        { title: "sha256", class: "code", cell: (td, item) => td.append(item.digest) },
      ],
    });
    lineage(home, run, detail);
    environment(home, detail);
  }

  /* ------------------------------------------------------------ two runs */

  function described(run) {
    const detail = data.details[run.id];
    const shown = Object.fromEntries(Object.entries(run.metrics).map(([name, value]) => [name, number(value)]));
    return { ...(detail ? detail.sections : {}), metrics: shown, tags: run.tags };
  }

  function differences(a, b) {
    const found = [];
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (!has(a, name)) found.push([name, "added", undefined, b[name]]);
      else if (!has(b, name)) found.push([name, "removed", a[name], undefined]);
      else if (a[name] !== b[name]) found.push([name, "changed", a[name], b[name]]);
    }
    return found;
  }

  function showDiff(home, from, to) {
    const [one, other] = [byId.get(from), byId.get(to)];
    crumbs("Comparison");
    put(home, "h1", { tabindex: "-1" }, "Comparison");
    if (!one || !other) {
      put(home, "p", { class: "empty" }, "One of these runs is not in the report: it was deleted, or saved later.");
      return;
    }
    facts(home, [
      ["From", (dd) => { runLink(dd, from); dd.append(" "); badges(dd, one); }],
      ["To", (dd) => { runLink(dd, to); dd.append(" "); badges(dd, other); }],
    ]);
    const [a, b] = [described(one), described(other)];
    const same = [];
    for (const [key, title] of SECTIONS) {
      if (!a[key] || !b[key]) continue;
      const found = differences(a[key], b[key]);
      if (!found.length) {
        if (Object.keys(a[key]).length) same.push(title);
        continue;
      }
      const withNumbers = key === "metrics";
      table(section(home, title), {
        id: `diff-${key}`, caption: title, noun: "differences", search: `Search ${title.toLowerCase()}`,
        items: found.map(([name, kind, before, after]) => ({
          name, kind, before, after, values: {}, text: name.toLowerCase(),
          by: withNumbers ? numeric(other.metrics[name]) - numeric(one.metrics[name]) : NaN,
        })),
        columns: [
          {
            title: "Name", row: true, class: "code name", value: (item) => item.name,
            cell: (td, item) => {
              td.append(item.name, " ");
              put(td, "span", { class: `badge ${{ added: "good", removed: "bad", changed: "warn" }[item.kind]}` }, item.kind);
            },
          },
          { title: "From", class: withNumbers ? "code" : "wide code", number: withNumbers, cell: (td, item) => td.append(item.before ?? "") },
          { title: "To", class: withNumbers ? "code" : "wide code", number: withNumbers, cell: (td, item) => td.append(item.after ?? "") },
          ...(withNumbers ? [{
            title: "Change", number: true, class: "code", value: (item) => item.by,
            cell: (td, item) => td.append(Number.isFinite(item.by) ? (item.by > 0 ? "+" : "") + number(item.by) : ""),
          }] : []),
        ],
      });
    }
    if (same.length) put(section(home, "The same in both"), "p", {}, `${same.join(", ")}.`);
    if (!data.details[from] || !data.details[to]) {
      put(home, "p", { class: "empty" }, "Of one of these runs the report has metrics and tags only, so nothing else was compared. ")
        .append(put(null, "code", {}, `artifact-store diff ${data.model}:${from} ${data.model}:${to}`), " compares everything.");
    }
  }

  /* ------------------------------------------------------------ which view */

  const [model, view] = [document.getElementById("view-model"), document.getElementById("view-run")];
  const title = document.title;
  let drawn = false;

  function route(focus) {
    const wanted = /^#(run|diff)=([0-9a-z_-]+)(?:\.\.([0-9a-z_-]+))?$/.exec(location.hash);
    if (focus && location.hash === "#main") return; // the link that skips the header
    view.replaceChildren();
    model.hidden = Boolean(wanted);
    view.hidden = !wanted;
    if (wanted) {
      if (wanted[1] === "run") showRun(view, wanted[2]);
      else showDiff(view, wanted[2], wanted[3]);
      document.title = `${wanted[1] === "run" ? wanted[2] : "Comparison"} – ${title}`;
    } else {
      crumbs();
      document.title = title;
      if (!drawn) {
        drawn = true;
        plot(document.getElementById("chart"));
        runTable();
        historyTable();
      }
    }
    if (focus) {
      window.scrollTo(0, 0);
      (wanted ? view : model).querySelector("h1").focus({ preventScroll: true });
    }
  }
  window.addEventListener("hashchange", () => route(true));
  route(false);
})();
