/* The end of a session, seen from the page: it warns, it lets the person stay, and in the end it leaves nothing on the
   screen. The server judges alone (trialsite/presence.py); this file only keeps the page in step with it.

   Before the contents are taken away, `trialsite:signing-out` is fired on document: what was typed is saved then, while
   the session still lasts. Nothing is kept in the browser. */
(function () {
  "use strict";

  const dialog = document.getElementById("session");
  if (!dialog) return;
  const form = dialog.querySelector("form"), data = dialog.dataset;
  const warning = Number(data.warning);
  const every = Math.min(60, warning / 2);       // seconds between two signs of life
  const lead = Math.min(5, warning / 4);         // seconds left for saving what was typed
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("trialsite-session") : null;

  /* seconds since this page was loaded; two clocks, because one stops while the machine sleeps and the other is set */
  const began = { clock: Date.now(), steady: performance.now() };
  const now = () => Math.max(Date.now() - began.clock, performance.now() - began.steady) / 1000;

  let seen = 0;                                  // when the server last counted somebody as being there
  let idleEnd = Number(data.left), capEnd = Number(data.cap);
  let active = false, asking = false, told = false, over = false;
  const end = () => Math.min(idleEnd, capEnd);

  function extend(left) {
    seen = now();
    idleEnd = seen + left;
    document.body.hidden = false;
    active = told = false;
    if (dialog.open && end() - now() > warning) dialog.close();
  }

  // ------------------------------------------------------------- asking the server

  /* to say that somebody is there is a POST; to ask how long it lasts is not a sign of life */
  function ask(present) {
    if (asking || over) return;
    asking = true;
    if (!present) document.body.hidden = true;   // the time is over: nobody reads on until the server has answered
    const request = present ? { method: "POST", body: new FormData(form) } : { headers: { "X-Background": "1" } };
    fetch(form.action, { ...request, redirect: "manual", signal: AbortSignal.timeout(present ? 8000 : 3000) }).then((answer) => {
      if (!answer.ok) throw new Error("signed out");
      return answer.json();
    }).then((times) => {
      asking = false;
      if (times.left <= 0 || times.cap <= 0 || (times.name !== data.name && !isMine(times))) return cover();
      capEnd = now() + times.cap;
      extend(times.left);
      if (times.name !== data.name) takeUp(times);
      if (present && channel) channel.postMessage({ name: data.name, left: times.left });
    }).catch((error) => {
      asking = false;
      /* a line that dropped is no reason to send somebody away before the time */
      if (error.message === "signed out" || now() >= end()) cover();
    });
  }

  // ------------------------------------------------------------- what the person does, here and in other tabs

  const isHere = () => { active = true; };
  ["keydown", "pointerdown", "wheel", "input"].forEach((name) => document.addEventListener(name, isHere, { capture: true, passive: true }));

  if (channel) {
    channel.onmessage = (event) => {
      if (over) return held && !event.data.out ? reclaim() : undefined;
      /* this person signed out: this page belongs to nobody any more */
      if (event.data.name === data.name && event.data.out) cover();
      else if (event.data.out) return;
      /* another sign-in: of the same person, or of somebody else, who must not see this page */
      else if (event.data.name !== data.name) { asking = false; ask(false); }
      else extend(event.data.left);
    };
    channel.postMessage({ name: data.name, left: idleEnd });
    document.addEventListener("submit", (event) => {
      if (event.target.getAttribute("action") === data.signOut) channel.postMessage({ name: data.name, out: true });
    });
  }

  // ------------------------------------------------------------- the warning

  const pad = (number) => String(number).padStart(2, "0");

  function warn() {
    const capped = capEnd <= idleEnd, at = new Date(Date.now() + (end() - now()) * 1000);
    dialog.querySelector("[data-at]").textContent = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
    dialog.querySelectorAll("[data-when]").forEach((part) => { part.hidden = part.dataset.when !== (capped ? "cap" : "idle"); });
    dialog.showModal();
    dialog.querySelector(capped ? "[data-close]" : "[data-stay]").focus();
  }

  function countDown() {
    const left = Math.max(0, Math.ceil(end() - now()));
    dialog.querySelector("[data-countdown]").textContent = `${Math.floor(left / 60)}:${pad(left % 60)}`;
  }

  dialog.querySelector("[data-stay]").addEventListener("click", () => ask(true));
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    if (capEnd <= idleEnd) dialog.close();
    else ask(true);
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());

  // ------------------------------------------------------------- the end

  function saveWhatWasTyped() {
    if (told) return;
    told = true;
    document.dispatchEvent(new CustomEvent("trialsite:signing-out", { detail: { seconds: Math.max(0, end() - now()) } }));
  }

  /* what could not be kept waits here, out of the document, until the same person signs in again in another tab */
  let held = null, title = "";

  const isMine = (times) => times.person === data.person;

  /* another session of the same person: its token goes into the forms, and what is typed is kept again */
  function takeUp(times) {
    data.name = times.name;
    document.querySelectorAll("input[name=csrfmiddlewaretoken]").forEach((field) => { field.value = times.token; });
    document.dispatchEvent(new CustomEvent("trialsite:signed-in"));
  }

  function reclaim() {
    fetch(data.times, { headers: { "X-Background": "1" }, redirect: "manual" }).then((answer) => answer.ok ? answer.json() : null).then((times) => {
      if (!held || !times) return;
      if (!isMine(times)) { held = null; return; }
      document.body.replaceChildren(...held);
      document.title = title;
      held = null;
      over = false;
      capEnd = now() + times.cap;
      extend(times.left);
      takeUp(times);
      clock = setInterval(tick, pause);
    }).catch(() => { /* no connection: the next message asks again */ });
  }

  function cover() {
    if (over) return;
    saveWhatWasTyped();
    over = true;
    if (dialog.open) dialog.close();
    title = document.title;
    held = document.querySelector("form[data-kept=no]") ? [...document.body.childNodes] : null;
    clearInterval(clock);
    const page = document.getElementById("session-over").content.cloneNode(true);
    const here = new URLSearchParams({ next: window.location.pathname + window.location.search, ended: "idle" });
    page.querySelector("a").href += `?${here}`;
    document.body.replaceChildren(page);
    document.body.hidden = false;
    document.title = document.querySelector("h1").textContent;
    document.querySelector("h1").focus();
  }

  let warned = 0;                                // the end of which was warned, so that a closed warning stays closed
  function tick() {
    const left = end() - now();
    if (left <= 0) return ask(false);            // in another window somebody may have been there
    if (left <= lead) saveWhatWasTyped();
    if (left <= warning) {
      if (!dialog.open && warned !== end()) { warned = end(); warn(); }
      countDown();
    } else if (active && now() - seen >= every) ask(true);
  }
  const pause = Math.min(1000, warning * 100);
  let clock = setInterval(tick, pause);
  document.addEventListener("visibilitychange", () => { if (!over && document.visibilityState === "visible") tick(); });
  window.addEventListener("pageshow", () => { if (!over) tick(); });
})();
