// The page: loads the downloads, applies the events of the daemon, and carries out what the user does.
// @ts-check

import * as api from "./api.js";
import * as dialogs from "./dialogs.js";
import { Rows } from "./rows.js";
import { size } from "./words.js";

/** @typedef {import("./api.js").Download} Download */
/** @typedef {"active"|"queued"|"over"} Sequence */

/** @param {string} id */
const at = (id) => /** @type {any} */ (document.getElementById(id));

/** The highest number of downloads that the page loads for one tab. The daemon sends no more in one answer. */
const LOADED_MOST = 10000;

/** The wait before the page connects again, in milliseconds. */
const AGAIN_AFTER = 2000;

/** All downloads by their identifiers. @type {Map<string, Download>} */
const downloads = new Map();
/** @type {Sequence} */
let sequence = "active";
let isDrawing = false;

const rows = new Rows(at("list"), at("rows"), act);

/** @param {Download} download @returns {Sequence} */
function sequenceOf(download) {
  if (download.state === "active") return "active";
  return download.state === "waiting" || download.state === "paused" ? "queued" : "over";
}

/** Draws the list once for all changes before the next frame. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    const search = at("search").value.toLowerCase();
    const isWanted = (/** @type {Download} */ one) =>
      sequenceOf(one) === sequence &&
      (!search || [one.name, ...one.urls].some((text) => text.toLowerCase().includes(search)));
    const wanted = [...downloads.values()].filter(isWanted);
    if (sequence === "queued") wanted.sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
    if (sequence === "over") wanted.sort((a, b) => (b.ended ?? 0) - (a.ended ?? 0));
    if (sequence === "active") wanted.sort((a, b) => a.added - b.added);
    rows.set(wanted);
    at("empty").hidden = wanted.length > 0;
    at("empty").textContent = search
      ? "No download in this list has this text in its name or URL."
      : { active: "No download is active.", queued: "No download is waiting.", over: "No download has ended yet." }[sequence];
  });
}

/** @param {import("./api.js").Summary} summary */
function drawSummary(summary) {
  const limit = summary.limit ? ` (limit ${size(summary.limit)}/s)` : "";
  at("summary").textContent = summary.active ? `${size(summary.speed)}/s${limit}` : `Idle${limit}`;
  document.title = summary.active ? `${size(summary.speed)}/s – downhaul` : "downhaul";
  for (const name of /** @type {Sequence[]} */ (["active", "queued", "over"])) {
    at(`tab-${name}`).querySelector("span").textContent = summary[name];
  }
}

/** @param {any} event */
function apply(event) {
  if (heldEvents) return void heldEvents.push(event);
  if (event.summary) drawSummary(event.summary);
  if (event.kind === "missed") return void load().catch(report);
  if (event.kind === "progress") {
    dialogs.remember(event.downloads);
    for (const download of event.downloads) put(download);
  } else if (event.download) {
    put(event.download);
    if (event.kind === "completed") say(`${event.download.name} is complete.`);
    if (event.kind === "failed") say(`${event.download.name} failed: ${event.download.error?.message ?? ""}`);
    if (sequenceOf(event.download) === "queued" || event.kind === "started") reorder();
  } else {
    downloads.delete(event.id);
    reorder();
  }
  draw();
}

/** @param {Download} download */
function put(download) {
  downloads.set(download.id, download);
  dialogs.showDetails(download);
}

let reordering = 0;
/** The last request for the order of the queue. The next request waits for its answer. */
let lastOrder = Promise.resolve();
/** Requests the new order of the queue, only once for many changes. */
function reorder() {
  clearTimeout(reordering);
  reordering = setTimeout(() => (lastOrder = lastOrder.then(takeOrder)), 150);
}

/** Uses only the positions in the answer, because an event that arrived before the answer can be newer than the answer. */
async function takeOrder() {
  try {
    const { downloads: queued } = await api.call("GET", `/downloads?sequence=queued&limit=${LOADED_MOST}`);
    for (const { id, position } of queued) {
      const known = downloads.get(id);
      if (known && sequenceOf(known) === "queued") known.position = position;
    }
    draw();
  } catch (error) {
    report(error);
  }
}

/** The events that arrive while the page loads the downloads. They are applied after that. The value is null at other times. @type {any[]|null} */
let heldEvents = null;

/** Loads all downloads again. */
async function load() {
  heldEvents = [];
  try {
    await loadAll();
  } finally {
    const held = heldEvents ?? [];
    heldEvents = null;
    held.forEach(apply);
  }
}

async function loadAll() {
  const loaded = [];
  for (const name of ["active", "queued", "over"]) {
    loaded.push(await api.call("GET", `/downloads?sequence=${name}&limit=${LOADED_MOST}`));
  }
  downloads.clear();
  for (const { count, downloads: some } of loaded) {
    for (const download of some) downloads.set(download.id, download);
    if (count > some.length) say(`One tab has ${count} downloads, and only ${some.length} of them are shown.`);
  }
  drawSummary(await api.call("GET", "/summary"));
  draw();
}

/** @param {string} action @param {Download} download */
async function act(action, download) {
  const path = `/downloads/${download.id}`;
  try {
    switch (action) {
      case "details": return dialogs.openDetails(download);
      case "pause": return void (await api.call("PATCH", path, { paused: true }));
      case "resume": return void (await api.call("PATCH", path, { paused: false }));
      case "up": return void (await api.call("PATCH", path, { position: Math.max(0, (download.position ?? 0) - 1) }));
      case "down": return void (await api.call("PATCH", path, { position: (download.position ?? 0) + 1 }));
      case "retry": return void (await api.call("POST", `${path}/retry`));
      case "remove": return void (await api.call("DELETE", path));
    }
  } catch (error) {
    report(error);
  }
}

let silence = 0;
/** Shows a notice for some seconds. @param {string} text */
function say(text) {
  at("notice").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (at("notice").textContent = ""), 6000);
}

/** Shows the message of an error. @param {unknown} error */
const report = (error) => say(error instanceof Error ? error.message : String(error));

/** @param {Sequence} name */
function choose(name) {
  sequence = name;
  for (const tab of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[role=tab]"))) {
    const isChosen = tab.dataset.sequence === name;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    if (isChosen) at("list").setAttribute("aria-labelledby", tab.id);
  }
  /** @type {Record<Sequence, [string, string, () => Promise<unknown>][]>} */
  const actions = {
    active: [["Pause all", "pause-all", () => api.call("PATCH", "/downloads", { paused: true })]],
    queued: [["Resume all", "resume-all", () => api.call("PATCH", "/downloads", { paused: false })]],
    over: [["Clear the list", "clear", () => api.call("DELETE", "/downloads")]],
  };
  at("actions").replaceChildren(
    ...actions[name].map(([text, id, action]) => {
      const button = document.createElement("button");
      [button.textContent, button.id] = [text, id];
      button.addEventListener("click", () => action().catch(report));
      return button;
    }),
  );
  at("list").scrollTop = 0;
  draw();
}

function listen() {
  at("tabs").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const tab = /** @type {HTMLElement|null} */ (event.target instanceof Element ? event.target.closest("[role=tab]") : null);
    if (tab) choose(/** @type {Sequence} */ (tab.dataset.sequence));
  });
  at("tabs").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tabs = /** @type {HTMLElement[]} */ ([...at("tabs").children]);
    const next = tabs[(tabs.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step + tabs.length) % tabs.length];
    choose(/** @type {Sequence} */ (next.dataset.sequence));
    next.focus();
  });
  at("search").addEventListener("input", draw);
  at("open-add").addEventListener("click", dialogs.openAdd);
  at("open-settings").addEventListener("click", () => dialogs.openSettings().catch(report));
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof Element && event.target.matches("input, textarea, dialog *");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const action = { a: dialogs.openAdd, "/": () => at("search").focus(), 1: () => choose("active"), 2: () => choose("queued"), 3: () => choose("over") }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    try {
      for (const file of event.dataTransfer?.files ?? []) await dialogs.addList(file);
      const text = event.dataTransfer?.getData("text/uri-list") || event.dataTransfer?.getData("text/plain");
      if (text) await api.call("POST", "/lists", text);
    } catch (error) {
      report(error);
    }
  });
}

/** Loads the downloads and reads the events. Connects again when the connection ends. */
async function run() {
  for (;;) {
    try {
      await api.events(apply, load);
    } catch (error) {
      if (error instanceof api.Refused && error.status === 401) {
        await dialogs.login();
        continue;
      }
      at("summary").textContent = "The daemon does not answer.";
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER));
  }
}

listen();
choose("active");
run();
