/* What the browser adds to pages that work without it: plots, keyboard, and a hand against slips.
   No framework, no evaluated text, no inline style. docs/interface.md lists every data- attribute. */
(function () {
  "use strict";

  const uplotUrl = document.currentScript.dataset.uplot;
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const cssValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isShown = (element) => element.getClientRects().length > 0;
  const words = () => document.getElementById("words").dataset;

  /* a form that changes data: it carries the idempotency key, or says so */
  const isDataForm = (form) => form.matches("[data-guard]") || !!form.querySelector("input[name=idem]");

  // ------------------------------------------------------------- plots

  let uplot = null;
  function loadUplot() {
    uplot = uplot || new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = uplotUrl;
      script.onload = () => resolve(window.uPlot);
      script.onerror = reject;
      document.head.append(script);
    });
    return uplot;
  }

  const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3], [5, 2], [12, 4]];

  /* uPlot wants one x axis for all series: the union of their days, with null where one has no value */
  function columns(series) {
    const days = [...new Set(series.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
    const place = new Map(days.map((day, index) => [day, index]));
    return [days].concat(series.map((one) => {
      const column = new Array(days.length).fill(null);
      one.points.forEach(([day, value]) => { column[place.get(day)] = value; });
      return column;
    }));
  }

  /* vertical lines (infusions), horizontal limits and bands (reference range), under the curves */
  function drawGuides(plot, spec) {
    const { ctx } = plot, { left, top, width, height } = plot.bbox, ratio = window.devicePixelRatio || 1;
    const x = (day) => Math.round(plot.valToPos(day, "x", true));
    const y = (value) => Math.round(plot.valToPos(value, "y", true));
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    (spec.bands || []).forEach((band) => {
      const from = band.from == null ? top + height : y(band.from), to = band.to == null ? top : y(band.to);
      ctx.fillStyle = "rgba(13, 90, 92, 0.07)";
      ctx.fillRect(left, to, width, from - to);
    });
    ctx.lineWidth = ratio;
    (spec.limits || []).forEach((limit) => {
      ctx.strokeStyle = ctx.fillStyle = cssValue("--bad");
      ctx.setLineDash([4 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(left, y(limit.value));
      ctx.lineTo(left + width, y(limit.value));
      ctx.stroke();
    });
    (spec.marks || []).forEach((mark) => {
      ctx.strokeStyle = cssValue("--ink-3");
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x(mark.day), top);
      ctx.lineTo(x(mark.day), top + height);
      ctx.stroke();
    });
    ctx.restore();
  }

  /* their words, over the curves: limits on a light ground at the right, infusions above the drawing, where no curve is */
  function nameGuides(plot, spec) {
    const { ctx } = plot, { left, top, width } = plot.bbox, ratio = window.devicePixelRatio || 1;
    ctx.save();
    ctx.font = `${11 * ratio}px ${cssValue("--font")}`;
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * ratio;
    ctx.strokeStyle = cssValue("--surface");
    ctx.fillStyle = cssValue("--bad");
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    (spec.limits || []).forEach((limit) => {
      const place = [limit.label || "", left + width - 4 * ratio, Math.round(plot.valToPos(limit.value, "y", true)) - 2 * ratio];
      ctx.strokeText(...place);
      ctx.fillText(...place);
    });
    ctx.fillStyle = cssValue("--ink-2");
    ctx.textAlign = "left";
    /* all in words, or all in short, where the words would run into each other or over the edge */
    const marks = (spec.marks || []).slice().sort((a, b) => a.day - b.day);
    const laid = (kind) => marks.map((mark) => {
      const text = mark[kind] || "", size = ctx.measureText(text).width, middle = plot.valToPos(mark.day, "x", true);
      const from = Math.min(Math.max(middle - size / 2, 0), left + width + 12 * ratio - size);
      return { text, from, to: from + size };
    });
    const fits = (line) => line.every((one, index) => !index || one.from > line[index - 1].to + 6 * ratio);
    const line = [laid("label"), laid("short")].find(fits) || [];
    line.forEach((one) => ctx.fillText(one.text, one.from, top - 3 * ratio));
    ctx.restore();
  }

  function drawPlot(figure, uPlot) {
    const canvas = figure.querySelector(".canvas");
    const spec = JSON.parse(document.getElementById(figure.dataset.plot).textContent);
    if (!spec.series.some((one) => one.points.length)) {
      figure.hidden = true;
      return;
    }
    const colours = ["--accent", "--arm-2", "--arm-1", "--arm-3", "--arm-4", "--ink-2"].map(cssValue);
    const arms = { 1: "--arm-1", 2: "--arm-2", 3: "--arm-3", 4: "--arm-4" };
    const digits = spec.digits == null ? null : spec.digits;
    const text = (value) => (value == null ? "–" : digits == null ? String(value) : value.toFixed(digits));
    const size = () => ({ width: canvas.clientWidth, height: Math.max(canvas.clientWidth < 500 ? 210 : 230, canvas.classList.contains("tall") ? 320 : 0) });
    const axis = { font: `12px ${cssValue("--font")}`, labelFont: `600 12px ${cssValue("--font")}`, stroke: cssValue("--ink-2"), labelSize: 22, labelGap: 2,
      grid: { stroke: cssValue("--line"), width: 1 }, ticks: { stroke: cssValue("--line-2"), width: 1, size: 5 } };
    const days = spec.series.flatMap((one) => one.points.map((point) => point[0])).concat((spec.marks || []).map((mark) => mark.day));
    const low = Math.min(...days), high = Math.max(...days), room = Math.max(1, (high - low) * 0.03);
    const limits = (spec.limits || []).map((limit) => limit.value);
    const y = spec.y || {};
    const plot = new uPlot({
      ...size(),
      padding: [(spec.marks || []).length ? 20 : 8, 14, 0, 0],
      scales: {
        x: { time: false, range: () => [low - room, high + room] },
        y: { distr: y.log ? 3 : 1, range: y.log ? undefined : (u, min, max) => {
          const bottom = Math.min(min, ...limits), ceiling = Math.max(max, ...limits), span = (ceiling - bottom) || Math.abs(ceiling) || 1;
          return [y.min != null ? y.min : bottom >= 0 && bottom < span ? 0 : bottom - span * 0.1, y.max != null ? y.max : ceiling + span * 0.15];
        } },
      },
      axes: [{ ...axis, size: 30, label: (spec.x || {}).label || "Day", values: (u, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) }, { ...axis, size: 56, label: y.label || "" }],
      cursor: { drag: { x: false, y: false }, y: false },
      legend: { markers: { width: 0, fill: (u, i) => u.series[i].stroke() } },
      series: [{ label: (spec.x || {}).label || "Day", value: (u, value) => text(value == null ? null : value).replace(/\.0+$/, "") }].concat(spec.series.map((one, index) => {
        const colour = one.arm ? cssValue(arms[one.arm]) : colours[index % colours.length];
        return { label: one.label, stroke: colour, width: one.faint ? 1 : 2, alpha: one.faint ? 0.45 : 1, dash: dashes[index % dashes.length], spanGaps: true,
          points: { show: !one.faint, size: 7, stroke: colour, fill: index % 2 ? "#fff" : colour, width: 1.5 }, value: (u, value) => text(value) };
      })),
      /* the newest values are told until the mouse asks for others */
      hooks: { drawAxes: [(u) => drawGuides(u, spec)], draw: [(u) => nameGuides(u, spec)], ready: [(u) => u.setLegend({ idx: u.data[0].length - 1 })] },
    }, columns(spec.series), canvas);
    new ResizeObserver(() => { if (canvas.clientWidth !== plot.width && canvas.clientWidth) plot.setSize(size()); }).observe(canvas);
  }

  function drawPlots(root) {
    const figures = all("[data-plot]", root).filter((figure) => !figure.dataset.drawn);
    if (!figures.length) return;
    figures.forEach((figure) => { figure.dataset.drawn = "yes"; });
    const failed = (figure) => { figure.querySelector(".canvas").textContent = words().plotFailed; };
    loadUplot().then((uPlot) => figures.forEach((figure) => {
      try { drawPlot(figure, uPlot); } catch (error) { console.error(error); failed(figure); }
    }), () => figures.forEach(failed));
  }

  // ------------------------------------------------------------- fields shown only when another says so

  function valueOf(form, name) {
    const fields = all("input, select, textarea", form).filter((field) => field.name === name);
    const chosen = fields.filter((field) => !["radio", "checkbox"].includes(field.type) || field.checked);
    return chosen.map((field) => field.value);
  }

  /* data-shown-when="field=value" or "field=one|other"; what is hidden keeps its value */
  function showWhatApplies(root) {
    all("[data-shown-when]", root).forEach((element) => {
      const form = element.closest("form") || document;
      const rule = element.dataset.shownWhen, cut = rule.indexOf("=");
      const wanted = rule.slice(cut + 1).split("|");
      const shown = valueOf(form, rule.slice(0, cut)).some((value) => wanted.includes(value))
        /* a tick that contradicts the answer stays in sight, to be taken out */
        || ("showsTicked" in element.dataset && element.querySelector(":checked") !== null);
      element.hidden = !shown;
      /* a hidden required field would stop the form without a word */
      all("[required], [data-was-required]", element).forEach((field) => {
        field.required = shown;
        field.toggleAttribute("data-was-required", !shown);
      });
    });
  }

  document.addEventListener("change", (event) => { if (event.target.form) showWhatApplies(event.target.form); });

  // ------------------------------------------------------------- unsaved entries

  let dirty = null;
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form && isDataForm(form)) dirty = form;
  });
  /* what is kept as a draft is not lost (drafts.js) */
  window.addEventListener("beforeunload", (event) => { if (dirty && dirty.isConnected && dirty.dataset.kept !== "yes") event.preventDefault(); });

  // ------------------------------------------------------------- submitting once, and only on purpose

  let confirmed = null;
  function askFirst(button) {
    const dialog = document.getElementById("confirm"), yes = dialog.querySelector("[value=yes]");
    dialog.querySelector("#confirm-text").textContent = button.dataset.confirm;
    yes.textContent = button.dataset.confirmYes || button.textContent.trim();
    yes.classList.toggle("btn-danger", button.classList.contains("btn-danger") || button.classList.contains("btn-outline-danger"));
    yes.onclick = () => {
      dialog.close();
      confirmed = button;
      button.form.requestSubmit(button);
    };
    dialog.showModal();
  }

  const submitButtons = (form) => Array.from(form.elements).filter((field) => field.type === "submit");

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (button && button.dataset.confirm && confirmed !== button) {
      event.preventDefault();
      event.stopPropagation();
      askFirst(button);
      return;
    }
    confirmed = null;
    if (form.method === "dialog") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    dirty = null;
    /* a form that answers with a file leaves the page where it is */
    if (form.method !== "post" || form.hasAttribute("data-resubmit") || form.matches("[hx-post]")) return;
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
    /* after this turn, so that the pressed button is still sent */
    setTimeout(() => submitButtons(form).forEach((one) => { one.disabled = true; one.classList.add("is-busy"); }), 0);
    /* the line may have dropped; the server knows the form by its key, so a second try is harmless */
    setTimeout(() => release(form), 20000);
  }, true);

  function release(form) {
    if (!form.dataset.sent) return;
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
    submitButtons(form).forEach((one) => { one.disabled = false; one.classList.remove("is-busy"); });
  }
  window.addEventListener("pageshow", () => all("form[data-sent]").forEach(release));

  // ------------------------------------------------------------- keyboard

  /* down the column of a table whose columns are filled one after the other, then to the top of the next */
  function inColumns(table) {
    const rows = Array.from(table.tBodies[0].rows);
    return rows[0] ? Array.from(rows[0].cells).flatMap((cell, column) => rows.flatMap((row) => all("input, select", row.cells[column]))) : [];
  }

  function step(from, back) {
    const table = from.closest("table[data-by-column]"), cells = table ? inColumns(table) : [];
    const found = all("input, select, textarea, button[type=submit], button:not([type])", from.form);
    const first = found.findIndex((field) => cells.includes(field));
    if (table) found.splice(first, cells.length, ...cells);
    const fields = found.filter((field) => !field.disabled && !field.readOnly && field.type !== "hidden" && isShown(field) && (field === from || !field.closest("[data-aside], .answer")));
    const next = fields[fields.indexOf(from) + (back ? -1 : 1)];
    if (!next) return;
    next.focus();
    if (next.select) next.select();
  }

  function moveInGrid(event, link) {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    let cell = link.closest("td, th");
    for (;;) {
      const row = cell.parentElement, index = cell.cellIndex;
      if (move[1]) cell = row.cells[index + move[1]];
      else {
        const other = move[0] > 0 ? row.nextElementSibling : row.previousElementSibling;
        cell = other && other.cells[index];
      }
      if (!cell) return;
      const target = cell.querySelector("a");
      if (target) {
        event.preventDefault();
        target.focus();
        return;
      }
    }
  }

  const singleKeysOff = () => localStorage.getItem("single-keys") === "off";

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const target = event.target, form = target.form;
    const typing = target.matches("input, select, textarea, [contenteditable]");

    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form && form.method === "post") {
      const button = submitButtons(form).find((one) => !one.disabled);
      event.preventDefault();
      if (button) form.requestSubmit(button);
      return;
    }
    if (event.key === "Enter" && form && target.matches("input:not([type=submit]):not([type=button]), select") && target.closest(".panel-rows, [data-enter-moves]")) {
      event.preventDefault();
      step(target, event.shiftKey);
      return;
    }
    if (target.matches("[data-grid] a")) moveInGrid(event, target);
    if (event.key === "Escape") all("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
    if (typing || event.ctrlKey || event.altKey || event.metaKey || singleKeysOff()) return;
    if (event.key === "?") openShortcuts();
    if (event.key === "/") {
      const field = document.querySelector(".filter-bar input:not([type=hidden]), .filter-bar select");
      if (field) { event.preventDefault(); field.focus(); }
    }
  });

  function openShortcuts() {
    const dialog = document.getElementById("shortcuts");
    if (dialog.open) return;
    dialog.querySelector("#single-keys").checked = !singleKeysOff();
    dialog.showModal();
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "single-keys") return;
    if (event.target.checked) localStorage.removeItem("single-keys");
    else localStorage.setItem("single-keys", "off");
  });

  /* one more row of fields: a copy of the last possible one, with the next number in its names */
  function addRow(button) {
    const place = button.parentElement, last = place.querySelector("template[data-row-name]");
    const [, name, most] = last.dataset.rowName.match(/^(\D+)(\d+)_$/), number = all(".line", place).length + 1;
    const row = last.content.firstElementChild.cloneNode(true);
    all("*", row).concat(row).forEach((part) => Array.from(part.attributes).forEach((one) => {
      one.value = one.value.replaceAll(`${name}${most}_`, `${name}${number}_`);
    }));
    last.before(row);
    if (number >= Number(most)) button.remove();
    row.querySelector("input, select, textarea").focus();
  }

  /* the tick of a group ticks all of it, and follows what is ticked one by one */
  function followTicks(group) {
    const whole = group.querySelector("[data-ticks]"), each = all("input[type=checkbox]:not([data-ticks])", group);
    const ticked = each.filter((one) => one.checked).length;
    whole.checked = ticked === each.length;
    whole.indeterminate = ticked > 0 && ticked < each.length;
  }

  document.addEventListener("change", (event) => {
    const group = event.target.closest("[data-tick-group]");
    if (!group) return;
    if (event.target.matches("[data-ticks]")) {
      all("input[type=checkbox]", group).forEach((one) => { one.checked = event.target.checked; });
    } else followTicks(group);
  });

  document.addEventListener("click", (event) => {
    const add = event.target.closest("[data-add-row]");
    if (add) addRow(add);
    const fill = event.target.closest("[data-fills]");
    if (fill) {
      const field = fill.form.elements[fill.dataset.fills];
      field.value = fill.value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      fill.closest(".suggestions").remove();
      field.focus();
    }
    if (event.target.closest("[data-shortcuts-open]")) openShortcuts();
    const no = event.target.closest("dialog button[value=no]");
    if (no) no.closest("dialog").close();
    all("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    if (event.target.closest("[data-print]")) window.print();
  });

  // ------------------------------------------------------------- at the start, and after every htmx swap

  function prepare(root) {
    drawPlots(root);
    showWhatApplies(root);
    all("[data-tick-group]", root).forEach(followTicks);
    all("select[data-submits], input[data-submits]", root).forEach((field) => field.addEventListener("change", () => field.form.requestSubmit()));
  }

  document.addEventListener("htmx:load", (event) => { if (event.target !== document.body) prepare(event.target); });
  /* a part of a page asked for after the session ended must not show the sign-in page inside it */
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (/<html/i.test(event.detail.serverResponse || "") && event.detail.target !== document.body) {
      event.detail.shouldSwap = false;
      window.location.reload();
    }
  });

  function start() {
    /* htmx notes the address of every page there; nothing is to stay in the browser */
    sessionStorage.removeItem("htmx-current-path-for-history");
    prepare(document);
    const wrong = all("main .is-invalid, main [aria-invalid=true]").find((field) => isShown(field) && field.matches("input, select, textarea"));
    if (wrong) wrong.focus();
    else {
      const current = document.querySelector(".timeline [aria-current]");
      if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.clientWidth / 2 + current.clientWidth / 2;
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
