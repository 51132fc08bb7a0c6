// Sends requests to the daemon, and reads its events.
// @ts-check

/** @typedef {{code: string, message: string}} Failure */
/**
 * @typedef {object} Download
 * @property {string} id
 * @property {"waiting"|"paused"|"active"|"complete"|"error"|"removed"} state
 * @property {string} name
 * @property {string|null} path
 * @property {string} folder
 * @property {string[]} urls
 * @property {number|null} total
 * @property {number} completed
 * @property {number} speed
 * @property {number} connections
 * @property {[number, number][]} ranges
 * @property {number|null} seconds_left
 * @property {Failure|null} error
 * @property {{until: number, error: Failure}|null} waits
 * @property {string|null} proof
 * @property {number} added
 * @property {number|null} ended
 * @property {number|null} position
 * @property {number|null} limit
 */
/** @typedef {{speed: number, active: number, queued: number, over: number, limit: number|null}} Summary */

const KEY = "downhaul-secret";

/** The error of a request that the daemon refused. */
export class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let secret = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";

/** @param {string} value @param {boolean} remember */
export function setSecret(value, remember) {
  secret = value;
  sessionStorage.setItem(KEY, value);
  if (remember) localStorage.setItem(KEY, value);
}

export function forgetSecret() {
  secret = "";
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/** @param {string} method @param {string} path @param {object|string|Blob} [body] @param {AbortSignal} [signal] */
async function send(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = secret ? { Authorization: `Bearer ${secret}` } : {};
  const isText = typeof body === "string" || body instanceof Blob;
  if (body !== undefined && !isText) headers["Content-Type"] = "application/json";
  const sent = body === undefined || isText ? body : JSON.stringify(body);
  const response = await fetch(`/api/v1${path}`, { method, headers, body: sent, signal });
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Refused(response.status, answer.mistakes?.join("\n") ?? answer.message ?? response.statusText);
  }
  return response;
}

/** @param {string} method @param {string} path @param {object|string|Blob} [body] */
export async function call(method, path, body) {
  const response = await send(method, path, body);
  return response.status === 204 ? null : response.json();
}

/**
 * Passes every event to `on`, until the connection ends. Calls `begin` when the connection is open. The events that arrive while `begin` runs are passed to `on` after it.
 * @param {(event: any) => void} on @param {() => Promise<void>} begin
 */
export async function events(on, begin) {
  const response = await send("GET", "/events");
  await begin();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (text + decoder.decode(value, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data:")) on(JSON.parse(line.slice(5)));
  }
}
