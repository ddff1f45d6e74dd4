"use strict";
// Draws what can be filtered. All text goes in as text, never as markup: names are not trusted.
(() => {
  const ROW = 52;
  const MARGIN = 8;
  const $ = (id) => document.getElementById(id);
  const [NOT_RUN, NOT_PLANNED] = [-1, -2];
  const NUMBER = new Intl.NumberFormat("en");

  function element(tag, attributes = {}, ...children) {
    const found = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
      else found.setAttribute(name, value === true ? "" : value);
    }
    found.append(...children.filter((child) => child !== null && child !== undefined));
    return found;
  }

  function drawn(tag, attributes = {}, ...children) {
    const found = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
    found.append(...children);
    return found;
  }

  const many = (number, noun) => `${NUMBER.format(number)} ${noun}${number === 1 ? "" : "s"}`;

  async function unpacked(id) {
    const letters = atob($(id).textContent);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const parsed = async (id) => JSON.parse(new TextDecoder().decode(await unpacked(id)));

  // ---- what the page knows ----------------------------------------------------------------------------

  let data, size, kept;
  const state = {};
  const START = {
    text: "", statuses: new Set(), operator: "", layer: "", environment: "", since: "", sort: "closest",
    differs: false, image: "", group: "", mutant: "",
  };

  async function learn() {
    data = await parsed("core");
    size = data.mutants.id.length;
    kept = { matrices: new Map(), details: new Map(), texts: null, places: new Map() };
    data.mutants.id.forEach((id, mutant) => kept.places.set(id, mutant));
    data.layerNames = data.layers.map((names) => names.join(", "));
    data.differs = differing();
  }

  function differing() {
    const found = new Uint8Array(size);
    if (data.sides.length < 2) return found;
    for (let mutant = 0; mutant < size; mutant++) {
      const behaviours = new Set();
      for (const side of data.sides) {
        const status = side.status[mutant];
        if (status >= 0 && data.statuses[status].behaviour) behaviours.add(data.statuses[status].behaviour);
      }
      found[mutant] = behaviours.size > 1 ? 1 : 0;
    }
    return found;
  }

  async function matrix(side) {
    if (!kept.matrices.has(side)) kept.matrices.set(side, unpacked(`matrix-${side}`));
    return kept.matrices.get(side);
  }

  async function details(mutant) {
    const chunk = Math.floor(mutant / data.chunk);
    if (!kept.details.has(chunk)) kept.details.set(chunk, parsed(`details-${chunk}`));
    return (await kept.details.get(chunk))[mutant % data.chunk];
  }

  function textOf(mutant) {
    if (!kept.texts) {
      const { id, layers, detail, unit, reason } = data.mutants;
      kept.texts = id.map((name, each) =>
        `${name} ${data.layerNames[layers[each]]} ${data.units[unit[each]]} ${detail[each]} ${data.reasons[reason[each]]}`.toLowerCase());
    }
    return kept.texts[mutant];
  }

  // ---- which mutants are shown ------------------------------------------------------------------------

  let shown = new Uint32Array(0);

  function sides() {
    const one = data.environments.indexOf(state.environment);
    return one < 0 ? data.sides : [data.sides[one]];
  }

  async function choose() {
    const here = sides();
    const wanted = new Set([...state.statuses].map((name) =>
      name === "not-run" ? NOT_RUN : data.statuses.findIndex((status) => status.name === name)));
    const operator = state.operator ? data.operators.indexOf(state.operator) : -1;
    const layer = state.layer ? data.layerNames.indexOf(state.layer) : -1;
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const killing = state.image ? await killers(here) : null;
    const { operator: operators, layers, since } = data.mutants;
    const found = [];
    for (let mutant = 0; mutant < size; mutant++) {
      if (here.length === 1 && here[0].status[mutant] === NOT_PLANNED) continue;
      if (state.operator && operators[mutant] !== operator) continue;
      if (state.layer && layers[mutant] !== layer) continue;
      if (state.since && since[mutant] !== state.since) continue;
      if (state.differs && !data.differs[mutant]) continue;
      if (wanted.size && !here.some((side) => wanted.has(side.status[mutant]))) continue;
      if (state.group !== "" && !here.some((side) => side.row[mutant] === Number(state.group))) continue;
      if (killing && !here.some((side, place) => side.row[mutant] >= 0 && killing[place][side.row[mutant]])) continue;
      if (words.length && !words.every((word) => textOf(mutant).includes(word))) continue;
      found.push(mutant);
    }
    shown = Uint32Array.from(ordered(found, here));
  }

  // Which rows of the kill matrices have the chosen image.
  async function killers(here) {
    const image = data.images.indexOf(state.image);
    const width = Math.ceil(data.images.length / 8);
    return Promise.all(here.map(async (side) => {
      const bits = await matrix(data.sides.indexOf(side));
      const found = new Uint8Array(side.groups);
      for (let row = 0; row < side.groups; row++) {
        found[row] = image >= 0 && (bits[row * width + (image >> 3)] >> (7 - (image & 7))) & 1;
      }
      return found;
    }));
  }

  function ordered(found, here) {
    const least = (key, absent) => (mutant) => Math.min(...here.map((side) => side[key][mutant] < 0 ? absent : side[key][mutant]));
    const most = (key) => (mutant) => -Math.max(...here.map((side) => side[key][mutant]));
    const rank = least("rank", Infinity);
    const survived = data.statuses.findIndex((status) => status.name === "survived");
    const keys = {
      closest: (mutant) => { const place = rank(mutant); return place < Infinity ? place : here.some((side) => side.status[mutant] === survived) ? 1e9 : 2e9; },
      killed: most("killed"),
      infected: most("infected"),
      labels: most("labels"),
    };
    const key = keys[state.sort];
    if (state.sort === "operator" || state.sort === "layers") {
      const column = data.mutants[state.sort];
      return found.sort((one, other) => column[one] - column[other] || one - other);
    }
    if (!key) return found;
    const values = new Map(found.map((mutant) => [mutant, key(mutant)]));
    return found.sort((one, other) => values.get(one) - values.get(other) || one - other);
  }

  // ---- the list ---------------------------------------------------------------------------------------

  const chip = (status, text) => element("span", { class: `chip s-${status < 0 ? "waiting" : data.statuses[status].name}` }, text);
  const label = (status) => (status < 0 ? "not run" : data.statuses[status].label);

  function row(place) {
    const mutant = shown[place];
    const { id, detail, layers } = data.mutants;
    const chips = sides().filter((side) => side.status[mutant] !== NOT_PLANNED).map((side) => {
      const status = side.status[mutant];
      const share = status >= 0 && data.statuses[status].name === "killed" && side.killed[mutant] ? ` ${side.killed[mutant]}/${data.images.length}` : "";
      return chip(status, `${label(status)}${share}`);
    });
    const lost = Math.max(...sides().map((side) => side.lost[mutant]));
    const under = [data.layerNames[layers[mutant]], detail[mutant]].filter(Boolean).join(" · ");
    return element("div", {
      class: "row", role: "option", id: `row-${place}`, "aria-selected": String(id[mutant] === state.mutant),
      "aria-setsize": shown.length, "aria-posinset": place + 1, "data-place": place,
    },
    element("div", { class: "top" }, element("bdi", { class: "name code" }, id[mutant]),
      lost ? element("span", { class: "dim code", title: "the largest share of a top-1 margin that an image lost" }, `${Math.round(100 * lost)} %`) : null, ...chips),
    element("div", { class: "under" }, element("bdi", {}, under)));
  }

  function drawList() {
    const list = $("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - MARGIN);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + MARGIN);
    const rows = [];
    for (let place = first; place < last; place++) {
      const one = row(place);
      one.style.top = `${place * ROW}px`;
      rows.push(one);
    }
    $("rows").replaceChildren(...rows);
    const chosen = placeOfChosen();
    if (chosen >= first && chosen < last) list.setAttribute("aria-activedescendant", `row-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }

  const placeOfChosen = () => (state.mutant ? shown.indexOf(kept.places.get(state.mutant) ?? -1) : -1);

  function reveal(place) {
    const list = $("list");
    const top = place * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  function step(by) {
    if (!shown.length) return;
    const now = placeOfChosen();
    const next = Math.max(0, Math.min(shown.length - 1, now < 0 ? 0 : now + by));
    state.mutant = data.mutants.id[shown[next]];
    reveal(next);
    remember();
    drawList();
    drawDetail();
  }

  // ---- one mutant -------------------------------------------------------------------------------------

  async function drawDetail() {
    const pane = $("detail");
    const mutant = kept.places.get(state.mutant);
    if (mutant === undefined) {
      const why = state.mutant ? `No mutant ${state.mutant} is in this run.` : "Choose a mutant to see its code, and what became of it.";
      pane.replaceChildren(element("p", { class: "empty" }, why));
      return;
    }
    const about = await details(mutant);
    if (kept.places.get(state.mutant) !== mutant) return;
    const parts = [head(mutant, about), ...data.sides.map((side, place) => ending(mutant, about, side, place))];
    for (const [names, text] of about.diffs ?? []) {
      if (data.sides.length > 1) parts.push(element("p", { class: "dim" }, `code in ${names.join(", ")}`));
      parts.push(diff(text));
    }
    if (about.diffs === undefined) parts.push(element("p", { class: "dim" }, "Its code is not in this page; the command shows it."));
    else if (!about.diffs.length) parts.push(element("p", { class: "dim" }, "No change of code was kept."));
    pane.replaceChildren(...parts.filter(Boolean));
    pane.scrollTop = 0;
  }

  function head(mutant, about) {
    const { id, operator, since, reason } = data.mutants;
    const name = data.operators[operator[mutant]];
    const rows = [["operator", data.summaries[name] ? `${name}: ${data.summaries[name]}` : name], ["category", about.category], ["stage", `${about.level}, ${about.stage}`]];
    for (const [name, value] of Object.entries(about.options ?? {})) rows.push(["option", `${name} = ${value}`]);
    for (const part of about.parts ?? []) rows.push(["part", part]);
    for (const [unit, ordinal, detail] of about.sites) rows.push(["site", `${unit} ${ordinal}  ${detail}`]);
    const layers = [...new Set(about.sites.flatMap((site) => site[3]))];
    if (layers.length) rows.push(["layers", layers.join(", ")]);
    if (since[mutant]) rows.push(["since the earlier run", { surviving: "newly surviving", noticed: "newly noticed", added: "new" }[since[mutant]]]);
    if (data.reasons[reason[mutant]]) rows.push(["reason", data.reasons[reason[mutant]]]);
    return element("div", {},
      element("h3", {}, element("bdi", { class: "code" }, id[mutant])),
      element("dl", {}, ...rows.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, element("bdi", { class: key === "site" ? "code" : "" }, value))])),
      layers.length ? strip(layers) : null,
      element("code", { class: "command" }, `mutatenn show ${data.directory} ${id[mutant]} --trace`));
  }

  // Where in the network it is.
  function strip(layers) {
    const order = [...new Set([...data.order.flat(), ...data.layers.flat()])];
    const width = 100 / order.length;
    const here = new Set(layers);
    const found = drawn("svg", { class: "strip", viewBox: "0 0 100 16", preserveAspectRatio: "none", role: "img", "aria-label": `place in the network: ${layers.join(", ")}` });
    order.forEach((name, place) => {
      const one = drawn("rect", { x: place * width, y: here.has(name) ? 0 : 5, width: Math.max(width * 0.8, 0.3), height: here.has(name) ? 16 : 6 }, drawn("title", {}, name));
      if (here.has(name)) one.setAttribute("class", "here");
      found.append(one);
    });
    return found;
  }

  function ending(mutant, about, side, place) {
    const name = data.environments[place];
    const status = side.status[mutant];
    const found = about.ends[name];
    if (status === NOT_PLANNED) return null;
    const parts = [element("h4", {}, chip(status, label(status)), " ", data.sides.length > 1 ? element("bdi", {}, name) : "")];
    if (found) {
      parts.push(element("p", {}, `${found.clause}${found.by ? `; by ${found.by.join(", ")}` : ""} (${found.seconds} s)`));
      if (found.masked) parts.push(element("p", {}, `the infection died in (images): ${found.masked.map(([kernel, number]) => `${kernel} (${number})`).join(", ")}`));
      if (found.memory) parts.push(element("p", {}, found.memory));
      if (found.message) parts.push(element("p", { class: "dim" }, found.message));
    }
    const near = about.near[name] ?? [];
    if (near.length) {
      parts.push(element("p", { class: "dim" }, "nearest images, and how much of their margin it took"));
      parts.push(element("div", { class: "near" }, ...near.map(([image, lost]) => figure(image, `${Math.round(100 * lost)} %`))));
    }
    const box = element("div", {}, ...parts);
    if (side.row[mutant] >= 0) box.append(killedOn(side, place, side.row[mutant]));
    if (found?.oracles) box.append(oracles(found.oracles));
    return box;
  }

  function figure(image, told) {
    return element("figure", {}, data.pictures[image] ? element("img", { class: "thumbnail", src: data.pictures[image], alt: "" }) : null,
      element("figcaption", {}, element("bdi", {}, data.images[image]), ` ${told}`));
  }

  function killedOn(side, place, group) {
    const box = element("details", {}, element("summary", {}, "the images that noticed it"));
    box.addEventListener("toggle", async () => {
      if (!box.open || box.children.length > 1) return;
      const bits = await matrix(place);
      const names = imagesOf(bits, group);
      box.append(element("div", { class: "near" }, ...names.slice(0, 24).map((image) => figure(image, "")),
        names.length > 24 ? element("span", {}, `and ${names.length - 24} more`) : null));
    });
    return box;
  }

  function imagesOf(bits, group) {
    const width = Math.ceil(data.images.length / 8);
    return data.images.map((_, image) => image).filter((image) => (bits[group * width + (image >> 3)] >> (7 - (image & 7))) & 1);
  }

  function oracles(found) {
    const cell = (value) => element("td", { class: "n" }, value === null || value === undefined ? "not finite" : String(value));
    return element("details", {}, element("summary", {}, "what the oracles measured"),
      element("table", {}, element("thead", {}, element("tr", {}, element("th", {}, "oracle"), element("th", { class: "n" }, "mean"), element("th", { class: "n" }, "worst"))),
        element("tbody", {}, ...Object.entries(found).map(([name, values]) => element("tr", {}, element("td", {}, name), ...values.map(cell))))));
  }

  // ---- code -------------------------------------------------------------------------------------------

  const TOKEN = /(#.*)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\b(def|for|in|with|if|else|and|or|not|return|class|import|from|as|while|True|False|None)\b|\b(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b/g;

  function coloured(text) {
    const parts = [];
    let last = 0;
    for (const found of text.matchAll(TOKEN)) {
      if (found.index > last) parts.push(text.slice(last, found.index));
      const kind = found[1] ? "dim" : found[2] ? "str" : found[3] ? "k" : "num";
      parts.push(element("span", { class: kind }, found[0]));
      last = found.index + found[0].length;
    }
    parts.push(text.slice(last));
    return parts;
  }

  // What is new in the second of two lines, by what they begin and end with.
  function middle(one, other) {
    let first = 0;
    while (first < one.length && first < other.length && one[first] === other[first]) first++;
    let last = 0;
    while (last < one.length - first && last < other.length - first && one[one.length - 1 - last] === other[other.length - 1 - last]) last++;
    return [first, one.length - last, other.length - last];
  }

  function diff(text) {
    const lines = text.split("\n").filter((line) => !/^(---|\+\+\+) /.test(line));
    const box = element("pre", { class: "diff" });
    for (let place = 0; place < lines.length; place++) {
      const line = lines[place];
      const next = lines[place + 1] ?? "";
      if (line[0] === "-" && next[0] === "+" && (lines[place + 2] ?? "")[0] !== "+" && (lines[place - 1] ?? "")[0] !== "-") {
        const [first, before, after] = middle(line.slice(1), next.slice(1));
        box.append(marked(line, "del", first + 1, before + 1), marked(next, "add", first + 1, after + 1));
        place++;
      } else {
        const kind = { "+": "l add", "-": "l del", "@": "l at" }[line[0]] ?? "l";
        box.append(element("span", { class: kind }, ...(line[0] === "@" ? [line] : coloured(line)), "\n"));
      }
    }
    return box;
  }

  function marked(line, kind, first, last) {
    return element("span", { class: `l ${kind}` }, ...coloured(line.slice(0, first)),
      last > first ? element("mark", {}, line.slice(first, last)) : "", ...coloured(line.slice(last)), "\n");
  }

  // ---- filters ----------------------------------------------------------------------------------------

  function options(select, first, names) {
    select.replaceChildren(element("option", { value: "" }, first), ...names.map((name) => element("option", { value: name }, name)));
  }

  function fillFilters() {
    options($("operator"), "any operator", [...data.operators].sort());
    options($("layer"), "any layer", data.layerNames.filter(Boolean));
    options($("environment"), "any environment", data.environments);
    $("environment").hidden = data.environments.length < 2;
    $("differs-label").hidden = data.environments.length < 2;
    $("since").hidden = !data.since;
    $("since").replaceChildren(...[["", "since the earlier run"], ["surviving", "newly surviving"], ["noticed", "newly noticed"], ["added", "new"]]
      .map(([value, text]) => element("option", { value }, text)));
    $("sort").replaceChildren(...[["closest", "closest to being noticed"], ["plan", "as planned"], ["killed", "most images kill it"], ["infected", "most images infected"], ["labels", "most labels changed"], ["operator", "by operator"], ["layers", "by layer"]]
      .map(([value, text]) => element("option", { value }, text)));
  }

  function drawFilters() {
    for (const key of ["text", "operator", "layer", "environment", "since", "sort"]) $(key).value = state[key];
    $("differs").checked = state.differs;
    const counts = new Map();
    const here = sides();
    for (let mutant = 0; mutant < size; mutant++) {
      for (const status of new Set(here.map((side) => side.status[mutant]))) counts.set(status, (counts.get(status) ?? 0) + 1);
    }
    const names = [...data.statuses.keys(), NOT_RUN].filter((status) => counts.get(status));
    $("statuses").replaceChildren(...names.map((status) => {
      const name = status < 0 ? "not-run" : data.statuses[status].name;
      return element("button", {
        type: "button", "data-status": name, "aria-pressed": String(state.statuses.has(name)),
        onclick: () => { state.statuses.has(name) ? state.statuses.delete(name) : state.statuses.add(name); change(); },
      }, chip(status, NUMBER.format(counts.get(status))), ` ${label(status)}`);
    }));
    const also = [state.image && `killed by ${state.image}`, state.group !== "" && "killed by the same images"].filter(Boolean);
    $("also").hidden = !also.length;
    $("also").replaceChildren(also.join(", "), " ", element("button", { type: "button", onclick: () => { state.image = ""; state.group = ""; change(); } }, "any image"));
  }

  async function change({ keep = false } = {}) {
    await choose();
    if (!keep && state.mutant && placeOfChosen() < 0) state.mutant = "";
    drawFilters();
    $("found").textContent = `${many(shown.length, "mutant")}${shown.length === size ? "" : ` of ${NUMBER.format(size)}`}`;
    remember();
    $("spacer").style.height = `${shown.length * ROW}px`;
    const place = placeOfChosen();
    if (place >= 0) reveal(place);
    else $("list").scrollTop = 0;
    drawList();
    await drawDetail();
  }

  // ---- addresses: what is chosen stands behind the # ----------------------------------------------------

  function remember() {
    const found = new URLSearchParams();
    for (const key of ["mutant", "text", "operator", "layer", "environment", "since", "image", "group"]) {
      if (state[key] !== "") found.set(key, state[key]);
    }
    if (state.statuses.size) found.set("status", [...state.statuses].join(","));
    if (state.sort !== START.sort) found.set("sort", state.sort);
    if (state.differs) found.set("differs", "1");
    const text = found.toString();
    if (location.hash.slice(1) !== text && (text || location.hash.includes("="))) history.replaceState(null, "", `#${text}`);
  }

  // Read the address; return whether it tells of mutants, and not of a section.
  function recall() {
    const told = location.hash.includes("=");
    const found = new URLSearchParams(told ? location.hash.slice(1) : "");
    Object.assign(state, START, { statuses: new Set(told ? (found.get("status") ?? "").split(",").filter(Boolean) : defaultStatuses()) });
    for (const key of ["mutant", "text", "operator", "layer", "environment", "since", "image", "group", "sort"]) {
      if (found.has(key)) state[key] = found.get(key);
    }
    state.differs = found.has("differs");
    return told;
  }

  function defaultStatuses() {
    const survived = data.statuses.findIndex((status) => status.name === "survived");
    return data.sides.some((side) => side.status.includes(survived)) ? ["survived"] : [];
  }

  async function follow() {
    const told = recall();
    await change({ keep: true });
    if (told) $("mutants").scrollIntoView();
    if (!state.mutant && !told && shown.length) {
      state.mutant = data.mutants.id[shown[0]];
      drawList();
      await drawDetail();
    }
  }

  // ---- tables -----------------------------------------------------------------------------------------

  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.classList.contains("plain")) return;
      const button = element("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const numbers = head.classList.contains("n");
        const value = (line) => {
          const text = line.cells[column]?.textContent.trim() ?? "";
          return numbers ? (Number.isNaN(parseFloat(text)) ? -1 : parseFloat(text)) : text;
        };
        const lines = [...table.tBodies[0].rows].map((line) => [value(line), line]);
        lines.sort(([one], [other]) => (numbers ? one - other : one.localeCompare(other)) * (down ? -1 : 1));
        table.tBodies[0].append(...lines.map(([, line]) => line));
      });
    });
  }

  // ---- heat map: operators and layers -----------------------------------------------------------------

  const COLD = [245, 230, 99];
  const HOT = [0, 114, 178];
  const colour = (share) => `rgb(${COLD.map((from, part) => Math.round(from + (HOT[part] - from) * share)).join(",")})`;

  function heat(box) {
    const side = data.sides[Number(box.dataset.side)];
    const cells = new Map();
    const columns = new Set();
    const rows = new Set();
    const { operator, layers, sites } = data.mutants;
    for (let mutant = 0; mutant < size; mutant++) {
      const status = side.status[mutant];
      if (status < 0 || sites[mutant] !== 1 || !data.layers[layers[mutant]].length) continue;
      const key = `${operator[mutant]}/${layers[mutant]}`;
      if (!cells.has(key)) cells.set(key, [0, 0, 0]);
      const cell = cells.get(key);
      cell[0]++;
      if (data.statuses[status].valid) cell[1]++;
      if (data.statuses[status].detected) cell[2]++;
      columns.add(layers[mutant]);
      rows.add(operator[mutant]);
    }
    if (!cells.size) return;
    const order = new Map([...new Set(data.order[Number(box.dataset.side)])].map((name, place) => [name, place]));
    const place = (layer) => order.get(data.layers[layer][0]) ?? 1e9;
    const across = [...columns].sort((one, other) => place(one) - place(other) || one - other);
    const body = [...rows].map((one) => element("tr", {}, element("th", { scope: "row" }, element("bdi", {}, data.operators[one])),
      ...across.map((layer) => {
        const cell = cells.get(`${one}/${layer}`);
        if (!cell) return element("td");
        const [all, valid, detected] = cell;
        const told = `${data.operators[one]} in ${data.layerNames[layer]}: ${detected} of ${valid} valid detected${all > valid ? `, ${all - valid} in no score` : ""}`;
        const found = element("td", { "data-n": all, "data-operator": data.operators[one], "data-layer": data.layerNames[layer], title: told }, valid ? "" : "·");
        if (valid) found.style.backgroundColor = colour(detected / valid);
        return found;
      })));
    const table = element("table", {},
      element("thead", {}, element("tr", {}, element("th"), ...across.map((layer) => element("th", { scope: "col" }, element("span", {}, element("bdi", {}, data.layerNames[layer])))))),
      element("tbody", {}, ...body));
    table.addEventListener("click", (event) => {
      const cell = event.target.closest("td[data-n]");
      if (!cell) return;
      Object.assign(state, START, { statuses: new Set(), operator: cell.dataset.operator, layer: cell.dataset.layer, environment: data.sides.length > 1 ? box.dataset.environment : "" });
      change();
      $("mutants").scrollIntoView();
    });
    box.replaceChildren(element("p", { class: "scale" }, ...scale()), table);
  }

  function scale() {
    const canvas = element("canvas", { width: 120, height: 10, role: "img", "aria-label": "from yellow, none, to blue, all" });
    const pen = canvas.getContext("2d");
    for (let x = 0; x < 120; x++) {
      pen.fillStyle = colour(x / 119);
      pen.fillRect(x, 0, 1, 10);
    }
    return ["detected: none ", canvas, " all of the valid; choose a cell to list its mutants"];
  }

  // ---- kill matrix: rows are mutants killed by the same images, drawn where they are looked at -----------

  async function drawMatrix(box) {
    const place = Number(box.dataset.side);
    const side = data.sides[place];
    const bits = await matrix(place);
    const width = Math.ceil(data.images.length / 8);
    const members = new Uint32Array(side.groups);
    const firsts = new Array(side.groups);
    side.row.forEach((row, mutant) => { if (row >= 0) { members[row]++; firsts[row] ??= mutant; } });
    const has = (row, image) => (bits[row * width + (image >> 3)] >> (7 - (image & 7))) & 1;
    const kills = data.images.map((_, image) => {
      let found = 0;
      for (let row = 0; row < side.groups; row++) if (has(row, image)) found += members[row];
      return found;
    });
    const images = data.images.map((_, image) => image).sort((one, other) => kills[other] - kills[one] || one - other);
    const scroller = element("div", { class: "scroller", tabindex: "0", role: "img", "aria-label": `kill matrix: ${many(side.groups, "row")} of mutants that the same images kill, ${many(images.length, "image")}; the table below tells what each image is worth` });
    const canvas = element("canvas");
    const filler = element("div");
    scroller.append(canvas, filler);
    box.replaceChildren(element("p", { class: "dim" }, `${many(side.groups, "row")}: the mutants of a row are killed by the same images; ${many(images.length, "image")} across, most kills first. Blue kills.`), scroller);
    const wide = Math.max(1, Math.min(14, Math.floor((scroller.clientWidth || 900) / images.length)));
    const high = Math.max(3, Math.min(14, Math.floor(400 / side.groups)));
    filler.style.width = `${wide * images.length}px`;
    const draw = () => {
      const ratio = devicePixelRatio || 1;
      const [visibleWidth, visibleHeight] = [scroller.clientWidth, Math.min(420, side.groups * high)];
      canvas.width = visibleWidth * ratio;
      canvas.height = visibleHeight * ratio;
      canvas.style.width = `${visibleWidth}px`;
      canvas.style.height = `${visibleHeight}px`;
      filler.style.height = `${Math.max(0, side.groups * high - visibleHeight)}px`;
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const [top, left] = [scroller.scrollTop, scroller.scrollLeft];
      const style = getComputedStyle(document.documentElement);
      pen.fillStyle = style.getPropertyValue("--panel");
      pen.fillRect(0, 0, visibleWidth, visibleHeight);
      pen.fillStyle = "#0072b2";
      for (let row = Math.floor(top / high); row < Math.min(side.groups, Math.ceil((top + visibleHeight) / high)); row++) {
        for (let column = Math.floor(left / wide); column < Math.min(images.length, Math.ceil((left + visibleWidth) / wide)); column++) {
          if (has(row, images[column])) pen.fillRect(column * wide - left, row * high - top, wide - (wide > 3 ? 1 : 0), high - (high > 3 ? 1 : 0));
        }
      }
    };
    const at = (event) => {
      const corner = canvas.getBoundingClientRect();
      return [Math.floor((event.clientY - corner.top + scroller.scrollTop) / high), Math.floor((event.clientX - corner.left + scroller.scrollLeft) / wide)];
    };
    canvas.addEventListener("pointermove", (event) => {
      const [row, column] = at(event);
      if (row >= side.groups || column >= images.length) return tip("");
      const image = images[column];
      tip(`${data.images[image]}${has(row, image) ? " kills " : " does not kill "}${many(members[row], "mutant")}: ${data.mutants.id[firsts[row]]}${members[row] > 1 ? " ..." : ""}`, event);
    });
    canvas.addEventListener("pointerleave", () => tip(""));
    canvas.addEventListener("click", (event) => {
      const [row] = at(event);
      if (row >= side.groups) return;
      Object.assign(state, START, { statuses: new Set(), group: String(row), environment: data.sides.length > 1 ? box.dataset.environment : "" });
      change();
      $("mutants").scrollIntoView();
    });
    scroller.addEventListener("scroll", () => requestAnimationFrame(draw));
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(scroller);
    draw();
  }

  function tip(text, event) {
    const found = $("tip");
    found.hidden = !text;
    if (!text) return;
    found.textContent = text;
    found.style.left = `${Math.min(event.clientX + 14, innerWidth - 350)}px`;
    found.style.top = `${Math.min(event.clientY + 14, innerHeight - 60)}px`;
  }

  // ---- light and dark ---------------------------------------------------------------------------------

  function scheme() {
    const button = $("scheme");
    const root = document.documentElement;
    const dark = () => (root.dataset.scheme ? root.dataset.scheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    const tell = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-pressed", String(dark())); };
    button.hidden = false;
    button.addEventListener("click", () => { root.dataset.scheme = dark() ? "light" : "dark"; tell(); dispatchEvent(new Event("resize")); });
    tell();
  }

  // ---- begin ------------------------------------------------------------------------------------------

  // Draw something once it is looked at.
  function later(box, draw) {
    const watch = new IntersectionObserver((seen) => {
      if (!seen.some((each) => each.isIntersecting)) return;
      watch.disconnect();
      draw(box);
    }, { rootMargin: "300px" });
    watch.observe(box);
  }

  function decorate() {
    document.querySelectorAll("table.sortable").forEach(sortable);
    document.querySelectorAll(".heat").forEach((box) => later(box, heat));
    document.querySelectorAll(".matrix").forEach((box) => later(box, drawMatrix));
  }

  function listen() {
    const list = $("list");
    list.addEventListener("scroll", () => requestAnimationFrame(drawList));
    new ResizeObserver(() => requestAnimationFrame(drawList)).observe(list);
    list.addEventListener("click", (event) => {
      const found = event.target.closest(".row");
      if (!found) return;
      state.mutant = data.mutants.id[shown[Number(found.dataset.place)]];
      remember();
      drawList();
      drawDetail();
    });
    const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const keys = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: page, PageUp: () => -page(), Home: () => -Infinity, End: () => Infinity };
    list.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "ArrowRight") $("detail").focus();
      else if (keys[event.key]) step(keys[event.key]());
      else return;
      event.preventDefault();
    });
    $("detail").addEventListener("keydown", (event) => { if (event.key === "Escape") list.focus(); });
    let waiting;
    $("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { state.text = $("text").value; change(); }, 120); });
    for (const key of ["operator", "layer", "environment", "since", "sort"]) {
      $(key).addEventListener("change", () => { state[key] = $(key).value; change(); });
    }
    $("differs").addEventListener("change", () => { state.differs = $("differs").checked; change(); });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("reset", (event) => {
      event.preventDefault();
      Object.assign(state, START, { statuses: new Set() });
      change();
    });
    addEventListener("hashchange", () => { if (location.hash.includes("=") || !location.hash) follow(); });
  }

  // ---- live: the same page again, as the campaign goes on ----------------------------------------------

  function followRun() {
    const events = new EventSource(document.documentElement.dataset.live);
    let busy = false;
    let last = "";
    const renew = async (told) => {
      busy = true;
      try {
        const answer = await fetch(".");
        if (answer.ok) await replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch { /* the server has ended; what is shown stays */ }
      busy = false;
      document.documentElement.dataset.seen = String(told.judged);
    };
    events.addEventListener("message", async (event) => {
      const told = JSON.parse(event.data);
      $("live").textContent = told.finished ? "The campaign has ended." : `Running: ${NUMBER.format(told.judged)} of ${many(told.planned, "mutant")}.`;
      last = event.data;
      if (told.finished) events.close();
      if (busy && !told.finished) return;
      while (busy) await new Promise((done) => setTimeout(done, 50));
      await renew(told);
      if (last !== event.data && !busy) await renew(JSON.parse(last));
      if (told.finished) document.documentElement.dataset.ended = "1";
    });
  }

  async function replace(page) {
    const open = new Set([...document.querySelectorAll("details[open] > summary")].map((each) => each.textContent));
    for (const id of ["fixed-before", "fixed-after", "data"]) $(id).replaceWith(document.adoptNode(page.getElementById(id)));
    document.querySelectorAll("#fixed-after summary").forEach((each) => { if (open.has(each.textContent)) each.parentElement.open = true; });
    await learn();
    fillFilters();
    decorate();
    const top = $("list").scrollTop;
    await change({ keep: true });
    $("list").scrollTop = top;
  }

  async function begin() {
    scheme();
    await learn();
    $("explorer").hidden = false;
    fillFilters();
    decorate();
    listen();
    await follow();
    document.documentElement.dataset.ready = "1";
    if (document.documentElement.dataset.live) followRun();
  }

  begin();
})();
