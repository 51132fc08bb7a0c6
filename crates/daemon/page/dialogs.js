// The dialogs: the secret, new downloads, details and settings.
// @ts-check

import * as api from "./api.js";
import { advice, count, date, size, stateName, verified } from "./words.js";

/** @typedef {import("./api.js").Download} Download */

/** @param {string} id */
const at = (id) => /** @type {any} */ (document.getElementById(id));

/** The longest time that the graph of a download shows, in seconds. */
const GRAPH_SECONDS = 300;

/** Fills in a field with the present value of a setting. @param {string} id @param {string|number} value */
function fill(id, value) {
  at(id).defaultValue = at(id).value = String(value);
}

/** Returns true if the user has changed a field since it was filled in. @param {string} id */
function isChanged(id) {
  return at(id).value !== at(id).defaultValue;
}

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog")?.close());
}

/**
 * Runs `action` when the user submits the form of a dialog. If the action fails, the dialog stays open and shows the reason.
 * @param {string} id @param {() => Promise<void>} action
 */
function onSubmit(id, action) {
  at(id).querySelector("form").addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    at(`${id}-problem`).textContent = "";
    try {
      await action();
      at(id).close();
    } catch (error) {
      at(`${id}-problem`).textContent = error instanceof Error ? error.message : String(error);
    }
  });
}

/** Asks for the secret, and returns when the dialog is closed. */
export function login() {
  return new Promise((resolve) => {
    at("login").addEventListener("cancel", (/** @type {Event} */ event) => event.preventDefault());
    at("login").addEventListener("close", resolve, { once: true });
    if (!at("login").open) at("login").showModal();
  });
}
onSubmit("login", async () => {
  api.setSecret(at("secret").value, at("remember").checked);
  await api.call("GET", "/summary");
  at("secret").value = "";
});

export function openAdd() {
  at("add-problem").textContent = "";
  at("add").showModal();
  at("urls").focus();
}
onSubmit("add", async () => {
  const urls = at("urls").value.split("\n").map((/** @type {string} */ line) => line.trim()).filter(Boolean);
  const file = at("list-file").files[0];
  if (!urls.length && !file) throw new Error("Enter a URL, or choose a list.");
  /** @type {Record<string, string>} */
  const options = {};
  for (const [name, id] of [["out", "out"], ["dir", "dir"], ["checksum", "checksum"], ["header", "headers"]]) {
    if (at(id).value.trim()) options[name] = at(id).value.trim();
  }
  if (at("add-limit").value) options["max-download-limit"] = `${at("add-limit").value}K`;
  const files = at("mirrors").checked ? [urls] : urls.map((/** @type {string} */ url) => [url]);
  if (files.length > 1 && (options.out || options.checksum)) {
    throw new Error("A name or a digest is for one file only. Add the URLs one by one.");
  }
  if (file && Object.keys(options).length) {
    throw new Error("The name, the folder, the digest, the headers and the limit are only for URLs. A list states them for its own files.");
  }
  if (file) {
    await addList(file, at("paused").checked);
    at("list-file").value = "";
  }
  // Added URLs are removed from the form, so that they are not added again after a mistake in a later line.
  for (const one of files.filter((/** @type {string[]} */ some) => some.length)) {
    await api.call("POST", "/downloads", { urls: one, options, paused: at("paused").checked });
    at("urls").value = at("urls").value.split("\n").filter((/** @type {string} */ line) => !one.includes(line.trim())).join("\n");
  }
  at("add").querySelector("form").reset();
});

/** @param {File} file @param {boolean} paused */
export async function addList(file, paused = false) {
  return api.call("POST", `/lists?name=${encodeURIComponent(file.name)}&paused=${paused}`, file);
}

/** The speed and the connections of active downloads over time. @type {Map<string, {speed: number, connections: number}[]>} */
const history = new Map();

/** @param {Download[]} active */
export function remember(active) {
  const ids = new Set(active.map((one) => one.id));
  for (const id of history.keys()) if (!ids.has(id)) history.delete(id);
  for (const { id, speed, connections } of active) {
    const past = history.get(id) ?? [];
    past.push({ speed, connections });
    history.set(id, past.slice(-GRAPH_SECONDS));
  }
}

/** @type {string|null} */
let open = null;

/** @param {Download} download */
export function openDetails(download) {
  open = download.id;
  at("details-problem").textContent = "";
  fill("limit", download.limit ? Math.ceil(download.limit / 1024) : 0);
  at("new-url").value = "";
  showDetails(download);
  at("details").showModal();
}

/** Shows the details of a download, if they are open. @param {Download} download */
export function showDetails(download) {
  if (download.id !== open) return;
  at("details-title").textContent = download.name;
  /** @type {[string, string][]} */
  const facts = [
    ["State", stateName(download.state)],
    ["Size", download.total === null ? "not known yet" : `${size(download.total)} (${download.total} bytes)`],
    ["Received", `${size(download.completed)}`],
    ["Path", download.path ?? `in ${download.folder}`],
    ["Verified", download.state === "complete" ? verified(download.proof) : ""],
    ["Error", download.error ? `${download.error.message} (${download.error.code})` : ""],
    ["What to do", download.error ? advice(download.error.code) : ""],
    ["From", download.urls.join("\n")],
    ["Added", date(download.added)],
    ["Ended", download.ended ? date(download.ended) : ""],
  ];
  const list = document.createElement("dl");
  for (const [name, value] of facts.filter(([, value]) => value)) {
    const [term, fact] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, fact.textContent] = [name, value];
    list.append(term, fact);
  }
  at("facts").replaceChildren(list);
  at("change").hidden = at("change").disabled = ["complete", "error", "removed"].includes(download.state);
  drawPieces(download);
  drawGraph(download);
}

/** Shows which parts of the file are on the disk. @param {Download} download */
function drawPieces({ ranges, total }) {
  at("pieces-figure").hidden = !ranges.length || !total;
  if (!ranges.length || !total) return;
  const part = (/** @type {[number, number]} */ [from, to]) =>
    `<rect x="${(300 * from) / total}" width="${(300 * (to - from)) / total}" height="10"/>`;
  at("pieces").innerHTML = ranges.map(part).join("");
  at("pieces-text").textContent = `${count(ranges.length, "part")} of the file on the disk.`;
}

/** @param {Download} download */
function drawGraph(download) {
  const past = history.get(download.id) ?? [];
  at("figure").hidden = past.length < 2;
  if (past.length < 2) return;
  const line = (/** @type {"speed"|"connections"} */ key, /** @type {string} */ name) => {
    const most = Math.max(1, ...past.map((one) => one[key]));
    const points = past.map((one, x) => `${(300 * x) / (past.length - 1)},${58 - (54 * one[key]) / most}`);
    return `<polyline class="${name}" points="${points.join(" ")}"/>`;
  };
  at("graph").innerHTML = line("speed", "speed") + line("connections", "connections");
  const most = Math.max(...past.map((one) => one.speed));
  at("graph-text").textContent =
    `The last ${past.length} s: now ${size(download.speed)}/s (at most ${size(most)}/s), ` +
    `${count(download.connections, "connection")} (dashed line).`;
}

at("details").addEventListener("close", () => (open = null));
at("details").querySelector("form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  at("details").close();
});
at("apply").addEventListener("click", () =>
  change(async () => {
    /** @type {Record<string, unknown>} */
    const sent = {};
    const [id, limit] = [open, at("limit").value];
    if (isChanged("limit")) sent.options = { "max-download-limit": `${limit || 0}K` };
    if (at("new-url").value) sent.urls = [at("new-url").value];
    const download = await api.call("PATCH", `/downloads/${id}`, sent);
    // In the meantime, the details of another download may have been opened.
    if (open !== id) return;
    showDetails(download);
    at("limit").defaultValue = limit;
  }),
);
at("delete").addEventListener("click", () =>
  change(async () => {
    if (!confirm("Remove this download, and delete its file?")) return;
    const stays = await api.call("DELETE", `/downloads/${open}?files=true`);
    if (stays) alert(stays.message);
    at("details").close();
  }),
);

/** @param {() => Promise<void>} action */
async function change(action) {
  at("details-problem").textContent = "";
  try {
    await action();
  } catch (error) {
    at("details-problem").textContent = error instanceof Error ? error.message : String(error);
  }
}

/** The fields of the settings: the identifier of the field, the option of the daemon, and the number by which the value of the field is multiplied to get the value of the option. @type {[string, string, number][]} */
const SETTINGS = [
  ["set-max", "max-concurrent-downloads", 1],
  ["set-limit", "max-overall-download-limit", 1024],
  ["set-results", "max-download-result", 1],
];

export async function openSettings() {
  const settings = await api.call("GET", "/settings");
  for (const [id, name, factor] of SETTINGS) fill(id, Math.ceil(Number(settings[name]) / factor));
  fill("set-dir", settings.dir);
  at("settings-problem").textContent = "";
  at("settings").showModal();
}
onSubmit("settings", async () => {
  /** @type {Record<string, string>} */
  const sent = {};
  // Other settings are not sent, so that a later change of the configuration still has an effect on them.
  if (isChanged("set-dir")) sent.dir = at("set-dir").value;
  for (const [id, name, factor] of SETTINGS) {
    if (isChanged(id)) sent[name] = String(Number(at(id).value) * factor);
  }
  await api.call("PATCH", "/settings", sent);
});
at("forget-secret").addEventListener("click", () => {
  api.forgetSecret();
  location.reload();
});
