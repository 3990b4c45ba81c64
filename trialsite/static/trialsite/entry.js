/* Entering a panel: what the page adds while a person types (templates/visits/enter_panel.html).

   On leaving a field the whole form is asked about (data-check), and errors, flags and questions come back to their
   rows. A question is answered by correcting the value, by a tick ("source checked"), or by saving: then it becomes a
   query. Whatever this file says, the server decides again when the form is saved. */
(function () {
  "use strict";

  const form = document.querySelector("form[data-check]");
  if (!form) return;
  const all = (selector, root) => Array.from((root || form).querySelectorAll(selector));
  const says = form.querySelector("[data-says]"), words = says.dataset;
  const asked = form.querySelector("input[name=asked]");
  const rows = all(".panel-row[data-code]");
  const fieldOf = (row) => row.querySelector(".input input, .input select, .input textarea");
  const missingOf = (row) => row.querySelector("[data-missing]");
  const nameOf = (row) => row.querySelector("label").firstChild.textContent.trim();
  const rowOf = (element) => element.closest(".panel-row[data-code]");
  const say = (text) => { says.textContent = text; };
  const fit = (text, values) => Object.entries(values).reduce((told, [name, value]) => told.replace(name, value), text);

  // ------------------------------------------------------------- the way through the fields

  const stored = new Map(rows.map((row) => [row, { value: fieldOf(row).value, flags: row.querySelector(".flags").innerHTML, range: row.querySelector(".range").textContent }]));
  const unitOf = (row) => { const unit = row.querySelector(`[name=unit_${row.dataset.code}]`); return unit ? unit.value : ""; };
  const around = () => ["collected_on", "laboratory"].map((name) => (form.elements[name] || {}).value).join(" ");
  const storedAround = around();
  rows.forEach((row) => { stored.get(row).unit = unitOf(row); });

  /* Tab goes from field to field; what stands beside them is reached by Alt+M */
  function leaveAside(root) {
    all("[data-aside], .flags a", root).forEach((one) => { one.tabIndex = -1; });
  }

  function showMissing(row) {
    const select = missingOf(row);
    if (!select) return;
    const hasValue = fieldOf(row).value.trim() !== "";
    if (hasValue && select.value) select.value = "";
    select.hidden = hasValue;
  }

  function goTo(field) {
    field.focus();
    if (field.select) field.select();
  }

  function goOn(row) {
    const next = rows[rows.indexOf(row) + 1];
    goTo(next ? fieldOf(next) : form.querySelector("[name=reason]") || form.querySelector(".form-actions button"));
  }

  /* as if it was typed */
  function put(field, value) {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function notDone(row) {
    if (fieldOf(row).value.trim()) return say(fit(words.hasValue, { FIELD: nameOf(row) }));
    put(missingOf(row), "not_done");
    say(fit(words.gone, { FIELD: nameOf(row) }));
    goOn(row);
  }

  function sameAsLast(row) {
    const field = fieldOf(row), { last, lastOn, lastUnit, anew, foreign } = field.dataset;
    if (anew !== undefined) return say(fit(words.anew, { FIELD: nameOf(row) }));
    if (foreign !== undefined) return say(fit(words.foreign, { FIELD: nameOf(row), VALUE: foreign, DATE: lastOn }));
    if (last === undefined) return say(fit(words.none, { FIELD: nameOf(row) }));
    const unit = row.querySelector(`[name=unit_${row.dataset.code}]`);
    if (unit && lastUnit) put(unit, lastUnit);
    put(field, last);
    say(fit(words.same, { FIELD: nameOf(row), VALUE: last, DATE: lastOn }));
    goOn(row);
  }

  /* to the question's box, the unit, the reason; from there back to the field */
  function toAside(row, from) {
    const field = fieldOf(row);
    if (from !== field) return goTo(field);
    const beside = all(".answer input, .about select, .remarks select:not([hidden]), .flags a", row);
    const first = beside.find((one) => one.type === "checkbox") || beside.find((one) => one.matches("[data-missing]")) || beside[0];
    if (first) first.focus();
  }

  form.addEventListener("keydown", (event) => {
    const row = event.altKey && !event.ctrlKey && !event.metaKey && rowOf(event.target);
    const act = row && { KeyN: notDone, KeyL: sameAsLast, KeyM: toAside }[event.code];
    if (!act) return;
    event.preventDefault();
    act(row, event.target);
  });

  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-blanks]");
    if (!button) return;
    rows.filter((row) => missingOf(row) && !fieldOf(row).value.trim()).forEach((row) => put(missingOf(row), button.dataset.blanks));
  });

  form.addEventListener("input", (event) => {
    const row = rowOf(event.target);
    if (row && event.target === fieldOf(row)) showMissing(row);
  });

  /* a cell of a spreadsheet brings a line end along; several cells would run into one number */
  form.addEventListener("paste", (event) => {
    const field = event.target;
    if (!field.matches("input[inputmode=decimal]")) return;
    const pasted = event.clipboardData.getData("text"), value = pasted.trim();
    if (pasted === value && !/[\t\n\r]/.test(value)) return;
    event.preventDefault();
    if (/[\t\n\r]/.test(value)) return say(words.oneCell);
    field.setRangeText(value, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    say(words.trimmed);
  });

  // ------------------------------------------------------------- asked on leaving a field

  function content() {
    const fields = new URLSearchParams();
    new FormData(form).forEach((value, name) => { if (name !== "asked") fields.append(name, value); });
    return fields.toString();
  }

  let checked = content(), running = null, latest = 0, told = 0;

  async function check() {
    const now = content();
    if (now === checked) return;
    if (running && running.content === now) return running.promise;
    const values = new Map(rows.map((row) => [row, fieldOf(row).value]));
    const turn = ++latest;
    const promise = ask(now).then((answer) => {
      if (!answer || turn < told) return;
      told = turn;
      if (turn === latest) checked = now;
      show(answer, values);
    }).finally(() => { if (running && running.promise === promise) running = null; });
    running = { content: now, promise };
    return promise;
  }

  async function ask(body) {
    try {
      const answer = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(body), headers: { "X-Background": "1" },
        redirect: "manual", signal: AbortSignal.timeout(5000) });
      return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    } catch {
      return null;   // no connection: saving asks the same
    }
  }

  function show(answer, values) {
    const heard = readAsked(), news = [];
    all("[data-tick]").forEach((one) => one.remove());
    all("[data-row]", answer).forEach((found) => {
      const row = form.querySelector(`.panel-row[data-code="${found.dataset.row}"]`);
      const place = row ? row.querySelector(".answer") : form.querySelector(`.answer[data-code="${found.dataset.row}"]`);
      const field = row ? fieldOf(row) : form.querySelector(`[name="${found.dataset.row}"]`);
      /* what was typed since is judged by the next answer */
      if (row && field.value !== values.get(row)) return;
      const fresh = found.querySelector(".answer");
      if (fresh.innerHTML !== place.dataset.was) {
        place.dataset.was = fresh.innerHTML;
        const focused = place.contains(document.activeElement) ? document.activeElement.name : null;
        place.replaceChildren(...fresh.childNodes);
        if (focused) { const box = place.querySelector(`[name="${focused}"]`); if (box) box.focus(); }
        const text = place.querySelector("strong");
        if (text) news.push(text.textContent);
      }
      const isRefused = found.hasAttribute("data-refused");
      field.toggleAttribute("aria-invalid", false);
      if (isRefused) field.setAttribute("aria-invalid", "true");
      field.classList.toggle("is-invalid", isRefused);
      if (row) {
        row.classList.toggle("has-error", isRefused);
        row.classList.toggle("has-question", !!place.querySelector(".question"));
        const flags = row.querySelector(".flags"), was = stored.get(row);
        /* a form that is filled in with a draft never showed its stored row */
        const isAsStored = isFresh && field.value === was.value && unitOf(row) === was.unit && around() === storedAround && !("regraded" in found.dataset);
        /* in the unit that is chosen now */
        row.querySelector(".previous").replaceChildren(...found.querySelector(".previous").childNodes);
        row.querySelector(".range").textContent = isAsStored ? was.range : found.querySelector(".range").textContent;
        if (isAsStored) flags.innerHTML = was.flags;
        else {
          all(".status:not(a), .grade, .ungraded, .confirmed", flags).forEach((one) => one.remove());
          flags.prepend(...found.querySelector(".flags").childNodes);
        }
        leaveAside(row);
      }
      all("[data-asked]", place).forEach((one) => {
        if (!(one.dataset.asked in heard)) heard[one.dataset.asked] = one.dataset.typed;
      });
    });
    if (news.length) say(news.join(" "));
    const kept = JSON.stringify(heard);
    if (asked.value !== kept && kept !== "{}") {
      asked.value = kept;
      form.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  function readAsked() {
    try { return JSON.parse(asked.value || "{}"); } catch { return {}; }
  }

  form.addEventListener("change", (event) => { if (!event.target.matches("[name=comment], [name=reason]")) check(); });

  // ------------------------------------------------------------- before saving

  const shown = new Set();   // questions that a save was once held back for
  let passed = null;

  function open() {
    return all(".question").filter((one) => !one.querySelector("input").checked);
  }

  /* before the draft's own listener (drafts.js is loaded after this file) */
  window.addEventListener("submit", (event) => {
    if (event.target !== form || passed === content()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const button = event.submitter;
    /* a browser sends no form while it is still about to: not before this event is over */
    const isOver = new Promise((done) => setTimeout(done));
    Promise.all([check(), isOver]).then(() => {
      const fresh = open().filter((one) => !shown.has(`${one.dataset.asked} ${one.dataset.typed}`));
      if (fresh.length) {
        open().forEach((one) => shown.add(`${one.dataset.asked} ${one.dataset.typed}`));
        const number = open().length;
        say(number === 1 ? words.one : fit(words.several, { NUMBER: number }));
        fresh[0].querySelector("input").focus();
        return;
      }
      passed = content();
      form.requestSubmit(button || undefined);
    });
  }, true);

  // ------------------------------------------------------------- at the start

  const isFresh = form.querySelector("input[name=idem]").dataset.draft === "shown";

  function start() {
    leaveAside(form);
    rows.forEach(showMissing);
    if (!isFresh) { checked = null; check(); }
    const blank = rows.find((row) => !fieldOf(row).value && !(missingOf(row) && missingOf(row).value));
    if (blank && isFresh && !document.querySelector(".draft") && document.activeElement === document.body && !window.location.hash) fieldOf(blank).focus({ preventScroll: true });
  }
  start();
})();
