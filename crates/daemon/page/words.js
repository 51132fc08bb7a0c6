// Turns numbers and states into texts for people.
// @ts-check

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {number} bytes */
export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) [bytes, unit] = [bytes / 1024, unit + 1];
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}

/** @param {number} seconds */
export function time(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

/** @param {number} number @param {string} thing */
export const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

/** @param {number} ms */
export const date = (ms) => new Date(ms).toLocaleString();

/** Advice for the user after a failure. Each row has the beginning of error codes, and the advice. The first row that fits is used. @type {[string, string][]} */
const ADVICE = [
  ["http.not_found", "Check the URL. If the file has moved, add its new URL as a new download."],
  ["http.gone", "The file was removed from the server. Look for another source."],
  ["http.unauthorized", "The server requires a login. Add the download again, with the login in a header or as NAME:PASSWORD@ before the host in the URL."],
  ["http.forbidden", "The server refuses this download. The URL may have expired. If so, get a new URL, and add it as a new download."],
  ["http.busy", "The server is overloaded. Try again later."],
  ["http.later", "The server requires a long wait. Try again later."],
  ["digest", "The file does not have the expected digest. Check the expected digest, or try another URL."],
  ["disk.full", "Free some space on the disk, and try again."],
  ["disk", "Check the folder and its permissions."],
  ["file.exists", "Another file has this name. Move that file away, then try again."],
  ["file.locked", "Another program is downloading this file. Wait until it has finished."],
  ["dns", "Check the name of the host and your connection."],
  ["connect", "The host cannot be reached. Check your connection, or try again later."],
  ["tls", "No secure connection is possible. Check the clock of this machine and the certificate of the server."],
  ["content.html", "The server sent a web page instead of the file. It may require a login."],
  ["url", "Check the URL and the options."],
];

/** @param {string} code */
export const advice = (code) => ADVICE.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "";

/** Returns the text that says how a file was verified. @param {string|null} proof */
export function verified(proof) {
  if (proof === "size only") return "not verified (size matches)";
  if (proof === "end of transfer only") return "not verified (server sent no size)";
  return proof ?? "not verified";
}

/** Returns the texts that the row of a download shows. @param {import("./api.js").Download} download */
export function facts(download) {
  const { state, total, completed } = download;
  const bytes = total === null ? size(completed) : completed >= total ? size(total) : `${size(completed)} of ${size(total)}`;
  switch (state) {
    case "active": {
      if (download.waits) {
        const { until, error } = download.waits;
        return [bytes, `waits until ${date(until)}: ${error.message} (${error.code})`];
      }
      const left = download.seconds_left === null ? "" : `${time(download.seconds_left)} left`;
      return [bytes, `${size(download.speed)}/s`, left, count(download.connections, "connection")];
    }
    case "complete":
      return [size(total ?? completed), verified(download.proof), download.ended ? date(download.ended) : ""];
    case "error":
      return [download.error?.message ?? "", completed ? bytes : ""];
    default:
      return [total === null && !completed ? "" : bytes];
  }
}

/** @param {string} state */
export const stateName = (state) =>
  ({ waiting: "Waiting", paused: "Paused", active: "Active", complete: "Complete", error: "Failed", removed: "Removed" })[state] ?? state;
