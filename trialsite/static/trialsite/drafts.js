/* What is typed is kept on the server while it is typed (trialsite/drafts.py), so that a lost connection, an ended
   session or a closed tab costs a few seconds at most. Nothing is kept in the browser.

   A form takes part when its key carries data-draft: "shown" (as it is stored) or "unsaved" (what was refused). It is
   sent to the form's own address with draft=keep instead of the key, so that it can never be taken for a save. Before
   a form is sent, or the person signs out, what is not kept yet is kept: when that fails, the page stays, with
   everything in it. */
(function () {
  "use strict";

  const PAUSE = 2500;      // ms after a key press until what was typed is sent
  const AGAIN = 4000;      // ms until the next try
  const PATIENCE = 8000;   // ms after which an answer is not waited for any longer
  /* by the clock by which the page shows all instants */
  const zone = document.querySelector("[data-zone]");
  const clock = () => new Date().toLocaleTimeString("en-GB", { timeZone: zone ? zone.dataset.zone : "UTC" });
  const words = () => document.getElementById("words").dataset;

  class Drafted {
    constructor(key) {
      this.key = key;
      this.form = key.form;
      this.address = this.form.getAttribute("action") || window.location.pathname;
      this.kept = key.dataset.draft === "unsaved" ? null : this.content();
      this.since = clock();
      this.timer = this.sending = null;
      this.isPassed = this.isFailing = false;
      this.status = this.form.querySelector("[data-draft-status]") || this.addStatus();
      this.form.addEventListener("input", () => this.soon());
      this.form.addEventListener("change", () => this.soon());
      if (this.kept === null) this.keep();
    }

    addStatus() {
      const status = document.createElement("span");
      status.className = "draft-status";
      status.setAttribute("role", "status");
      (this.form.querySelector(".form-actions") || this.form).append(status);
      return status;
    }

    /* what would be sent, without the keys of the page */
    content() {
      const fields = new URLSearchParams();
      new FormData(this.form).forEach((value, name) => {
        if (!["csrfmiddlewaretoken", "idem", "version", "_opened", "_taken"].includes(name) && typeof value === "string") fields.append(name, value);
      });
      this.form.querySelectorAll("input[type=password]").forEach((field) => fields.delete(field.name));
      return fields.toString();
    }

    soon() {
      this.form.dataset.kept = "no";
      if (!this.timer) this.timer = setTimeout(() => this.keep(), PAUSE);
    }

    body(content) {
      const fields = new URLSearchParams(content);
      const value = (name) => { const field = this.form.querySelector(`input[name=${name}]`); return field ? field.value : ""; };
      fields.append("draft", "keep");
      fields.append("draft_of", this.key.value);
      fields.append("draft_version", value("version"));
      ["_opened", "_taken"].forEach((name) => { if (value(name)) fields.append(name, value(name)); });
      fields.append("csrfmiddlewaretoken", value("csrfmiddlewaretoken"));
      return fields;
    }

    /* Gives whether all that is typed is kept. `last`: the page is about to go. */
    async keep(last, now) {
      clearTimeout(this.timer);
      this.timer = null;
      const content = this.content();
      if (content === this.kept) return this.say(true);
      if (this.sending && !last && !now) { this.soon(); return false; }
      if (this.sending) this.sending.abort();
      const sending = this.sending = new AbortController();
      const patience = setTimeout(() => sending.abort(), PATIENCE);
      let answer = null;
      try {
        answer = await fetch(this.address, { method: "POST", body: this.body(content), headers: { "X-Background": "1" }, redirect: "manual",
          keepalive: !!last && content.length < 50000, signal: last ? undefined : sending.signal });
      } catch { /* no connection */ }
      clearTimeout(patience);
      if (this.sending !== sending && !(answer && answer.ok)) return false;   // overtaken by a newer one
      if (this.sending === sending) this.sending = null;
      if (this.isPassed && !last) return true;
      if (answer && answer.ok) {
        this.kept = content;
        this.since = clock();
        return this.say(true);
      }
      return this.say(false, answer);
    }

    say(isKept, answer) {
      const isCurrent = isKept && this.content() === this.kept;
      this.form.dataset.kept = isCurrent ? "yes" : "no";
      this.isFailing = !isKept;
      let text = words().kept;
      if (!isKept) {
        const isOut = this.isOut = answer && (answer.type === "opaqueredirect" || [401, 403].includes(answer.status));
        const isTooMuch = answer && [413, 422].includes(answer.status);
        text = isOut ? words().signedOut : isTooMuch ? words().tooMuch : words().notKept;
        this.cannotBeKept = isTooMuch;
        if (!isTooMuch && !this.timer) this.timer = setTimeout(() => this.keep(), AGAIN);
      }
      this.show(text);
      return isKept;
    }

    show(text) {
      const told = text.replace("TIME", this.since);
      if (this.status.textContent !== told) this.status.textContent = told;
      this.status.classList.toggle("failing", this.isFailing);
    }

    /* the form is on its way: what comes after it must not bring the draft back */
    pass() {
      this.isPassed = true;
      clearTimeout(this.timer);
      this.timer = null;
      if (this.sending) this.sending.abort();
      /* the line may have dropped on the way */
      setTimeout(() => { this.isPassed = false; this.kept = null; this.soon(); }, 20000);
    }
  }

  const drafted = new Map();

  function start() {
    document.querySelectorAll("input[name=idem][data-draft]").forEach((key) => drafted.set(key.form, new Drafted(key)));
  }

  /* before everything else that listens to a submit: first what is typed is safe, then it is sent */
  window.addEventListener("submit", (event) => {
    const one = drafted.get(event.target), button = event.submitter;
    if (!one || one.isPassed || one.cannotBeKept || (button && button.dataset.confirm)) return;
    if (!one.isFailing && one.content() === one.kept) return one.pass();
    event.preventDefault();
    event.stopImmediatePropagation();
    if (one.isWaiting) return;
    one.isWaiting = true;
    /* a browser sends no form while it is still about to: not before this event is over */
    const isOver = new Promise((done) => setTimeout(done));
    Promise.all([one.keep(false, true), isOver]).then(([isKept]) => {
      one.isWaiting = false;
      if (!isKept && !one.cannotBeKept) {
        if (!one.isOut) one.show(words().notSent);
        return;
      }
      one.pass();
      one.form.requestSubmit(button || undefined);
    });
  }, true);

  /* signing out ends what could still keep: first it is kept. Where that fails the page stays, once */
  let mayLeave = false;
  window.addEventListener("submit", (event) => {
    const session = document.getElementById("session");
    if (mayLeave || !session || event.target.getAttribute("action") !== session.dataset.signOut) return;
    const open = [...drafted.values()].filter((one) => !one.isPassed && one.form.isConnected && one.content() !== one.kept);
    if (!open.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const isOver = new Promise((done) => setTimeout(done));
    Promise.all([isOver, ...open.map((one) => one.keep(false, true))]).then(([, ...kept]) => {
      mayLeave = true;
      if (open.every((one, index) => kept[index] || one.isOut)) event.target.requestSubmit();
      else open.find((one, index) => !kept[index]).status.scrollIntoView({ block: "center" });
    });
  }, true);

  /* the same person signed in again in another tab (session.js): what the page holds is kept now */
  document.addEventListener("trialsite:signed-in", () => {
    drafted.forEach((one) => { if (!one.isPassed && one.content() !== one.kept) one.keep(false, true); });
  });

  function keepAll() {
    drafted.forEach((one) => { if (!one.isPassed && one.form.isConnected && one.content() !== one.kept) one.keep(true); });
  }
  document.addEventListener("trialsite:signing-out", keepAll);
  document.addEventListener("visibilitychange", () => {
    /* while a form is kept before it is sent, another try would break that one off, and the form would not be sent */
    if (document.visibilityState === "hidden" && ![...drafted.values()].some((one) => one.isWaiting)) keepAll();
  });
  window.addEventListener("pagehide", keepAll);
  window.addEventListener("online", keepAll);

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
