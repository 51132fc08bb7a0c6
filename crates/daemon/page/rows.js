// The list of downloads. Only the visible rows are in the page, so drawing a list of ten thousand downloads takes
// no more time than drawing a list of twenty.
// @ts-check

import { facts, stateName } from "./words.js";

/** @typedef {import("./api.js").Download} Download */

/** The height of a row in CSS pixels, as in style.css. */
const HEIGHT = 72;

/** The number of rows that are drawn above and below the visible part, so that they are there when the user scrolls. */
const SPARE = 6;

export class Rows {
  /**
   * @param {HTMLElement} list the element that scrolls
   * @param {HTMLElement} rows the element with the rows
   * @param {(action: string, download: Download) => void} act
   */
  constructor(list, rows, act) {
    this.list = list;
    this.rows = rows;
    this.act = act;
    /** @type {Download[]} */
    this.downloads = [];
    /** @type {Map<string, HTMLElement>} */
    this.shown = new Map();
    list.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(list);
  }

  /** @param {Download[]} downloads */
  set(downloads) {
    this.downloads = downloads;
    this.rows.style.height = `${downloads.length * HEIGHT}px`;
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(this.downloads.length, first + Math.ceil(this.list.clientHeight / HEIGHT) + 2 * SPARE);
    const wanted = new Set(this.downloads.slice(first, last).map((download) => download.id));
    for (const [id, row] of this.shown) {
      if (wanted.has(id)) continue;
      row.remove();
      this.shown.delete(id);
    }
    const focused = document.activeElement;
    for (let at = first; at < last; at++) {
      const download = this.downloads[at];
      const row = this.shown.get(download.id) ?? this.make(download.id);
      this.shown.set(download.id, row);
      // Screen readers and the Tab key follow the order in the page.
      const there = this.rows.children[at - first] ?? null;
      if (there !== row) this.rows.insertBefore(row, there);
      row.style.top = `${at * HEIGHT}px`;
      row.setAttribute("aria-posinset", String(at + 1));
      row.setAttribute("aria-setsize", String(this.downloads.length));
      this.fill(row, download);
    }
    // If a row was moved, it has lost the focus, and gets it back here.
    if (focused instanceof HTMLElement && focused !== document.activeElement && this.rows.contains(focused)) {
      focused.focus();
    }
  }

  /** @param {string} id */
  make(id) {
    const row = document.createElement("li");
    row.dataset.id = id;
    row.innerHTML =
      '<button class="name" data-action="details"></button><div class="bar" role="progressbar"><i></i></div>' +
      '<div class="facts"></div><div class="buttons"></div>';
    row.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      const download = this.downloads.find((one) => one.id === id);
      if (button?.dataset.action && download) this.act(button.dataset.action, download);
    });
    return row;
  }

  /** @param {HTMLElement} row @param {Download} download */
  fill(row, download) {
    row.className = download.state;
    const find = (/** @type {string} */ part) => /** @type {HTMLElement} */ (row.querySelector(part));
    setText(find(".name"), download.name);
    find(".name").title = download.urls[0] ?? "";
    const bar = find(".bar");
    const percent = download.total ? Math.floor((100 * download.completed) / download.total) : null;
    bar.hidden = download.state === "complete" || download.state === "removed";
    bar.classList.toggle("unknown", download.state === "active" && percent === null);
    bar.setAttribute("aria-label", `Progress of ${download.name}`);
    if (percent === null) bar.removeAttribute("aria-valuenow");
    else bar.setAttribute("aria-valuenow", String(percent));
    /** @type {HTMLElement} */ (bar.firstChild).style.width = percent === null ? "" : `${percent}%`;
    const text = facts(download).filter(Boolean).join(" · ");
    const state = document.createElement("span");
    state.className = "state";
    state.textContent = stateName(download.state);
    find(".facts").replaceChildren(state, text ? ` · ${text}` : "");
    this.fillButtons(find(".buttons"), download);
  }

  /** @param {HTMLElement} place @param {Download} download */
  fillButtons(place, download) {
    /** @type {[string, string][]} */
    const wanted =
      download.state === "active"
        ? [["pause", "Pause"], ["remove", "Remove"]]
        : download.state === "waiting"
          ? [["up", "Up"], ["down", "Down"], ["pause", "Pause"], ["remove", "Remove"]]
          : download.state === "paused"
            ? [["up", "Up"], ["down", "Down"], ["resume", "Resume"], ["remove", "Remove"]]
            : download.state === "error"
              ? [["retry", "Try again"], ["remove", "Remove"]]
              : [["remove", "Remove"]];
    const key = wanted.map(([action]) => action).join();
    if (place.dataset.key !== key) {
      // If one of the old buttons had the focus, the last new button gets it.
      const hadFocus = place.contains(document.activeElement);
      place.dataset.key = key;
      place.replaceChildren(
        ...wanted.map(([action, name]) => {
          const button = document.createElement("button");
          button.dataset.action = action;
          button.textContent = name;
          if (action === "up" || action === "down") button.className = "more";
          return button;
        }),
      );
      if (hadFocus) /** @type {HTMLElement} */ (place.lastElementChild).focus();
    }
    for (const button of place.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent}: ${download.name}`);
    }
  }
}

/** @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
