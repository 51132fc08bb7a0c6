// Tests the page of the daemon in Chromium: adds, pauses, resumes, reorders, limits and removes
// real downloads, and checks the accessibility of the page.
//
// Usage: node page.mjs PROGRAM FOLDER
// Screenshots are written into FOLDER.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program, shots] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "downhaul-page-"));
mkdirSync(shots, { recursive: true });

/** Fails if `is` does not become true within 20 seconds. */
async function until(what, is) {
  for (const end = Date.now() + 20000; Date.now() < end; ) {
    if (await is()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not seen: ${what}`);
}

function check(what, is) {
  if (!is) throw new Error(`wrong: ${what}`);
}

// A server that sends the same 3 MB under every name, also in ranges, except for names that begin
// with `missing`.
const file = randomBytes(3_000_000);
const server = createServer((request, response) => {
  if (request.url.startsWith("/missing")) return response.writeHead(404).end();
  const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "");
  const [from, to] = range ? [Number(range[1]), range[2] ? Number(range[2]) : file.length - 1] : [0, file.length - 1];
  const head = { "Content-Length": to + 1 - from, ETag: '"1"', "Accept-Ranges": "bytes" };
  if (range) head["Content-Range"] = `bytes ${from}-${to}/${file.length}`;
  response.writeHead(range ? 206 : 200, head);
  response.end(request.method === "HEAD" ? undefined : file.subarray(from, to + 1));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = (name) => `http://127.0.0.1:${server.address().port}/${name}`;

const secret = "a secret for the page";
const env = { ...process.env, XDG_STATE_HOME: join(folder, "state"), DOWNHAUL_DAEMON_SECRET: secret };
const daemon = spawn(program, ["daemon", "-d", join(folder, "files"), "--listen", "127.0.0.1:0"], { env });
let said = "";
daemon.stderr.on("data", (text) => (said += text));
await until("the daemon listens", () => /listens on (\S+)/.test(said));
const address = /listens on (\S+)/.exec(said)[1];

const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, colorScheme: "light" });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith("data:")) problems.push(`a request to ${request.url()}`);
  });
  const accessible = async (where) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    check(`axe on ${where}: ${JSON.stringify(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]))}`, violations.length === 0);
  };
  const row = (name, state = "") => page.locator(`li${state && `.${state}`}`, { has: page.getByRole("button", { name, exact: true }) });
  const tab = (name) => page.getByRole("tab", { name }).click();
  const add = async (text, options = {}) => {
    await page.getByRole("button", { name: "Add", exact: true }).first().click();
    await page.locator("#urls").fill(text);
    if (Object.keys(options).length) await page.locator("#add summary").click();
    if (options.limit) await page.locator("#add-limit").fill(String(options.limit));
    if (options.paused) await page.locator("#paused").check();
    if (options.name) await page.locator("#out").fill(options.name);
    await page.locator("#add button.main").click();
    if (options.stays) return;
    await page.locator("#add").waitFor({ state: "hidden" });
    if (Object.keys(options).length) await page.evaluate(() => (document.querySelector("#add details").open = false));
  };

  await page.goto(address);
  await page.locator("#secret").fill("wrong");
  await page.locator("#login button.main").click();
  await until("a wrong secret is refused", async () => (await page.locator("#login-problem").textContent()) !== "");
  await accessible("the question for the secret");
  await page.locator("#secret").fill(secret);
  await page.locator("#login button.main").click();
  await page.locator("#login").waitFor({ state: "hidden" });

  await add(url("one.bin"));
  await tab("Finished");
  await row("one.bin", "complete").waitFor();
  check("the file is exact", readFileSync(join(folder, "files/one.bin")).equals(file));

  await add(url("slow.bin"), { limit: 300 });
  await tab("Active");
  await row("slow.bin", "active").waitFor();
  await page.waitForTimeout(2500);
  await accessible("active downloads");
  await page.screenshot({ path: join(shots, "desk-light-active.png") });
  await row("slow.bin").getByRole("button", { name: "Pause" }).click();
  await tab("Waiting");
  await row("slow.bin", "paused").waitFor();
  await page.locator("#resume-all").click();
  await tab("Active");
  await row("slow.bin", "active").waitFor();
  await page.locator("#pause-all").click();
  await tab("Waiting");
  await row("slow.bin", "paused").waitFor();
  for (const name of ["a.bin", "b.bin", "c.bin"]) await add(url(name), { paused: true, limit: 300 });
  const order = () => page.locator("li .name").allTextContents().then((names) => names.join());
  await until("all downloads wait in the order in which they were added", async () => (await order()) === "slow.bin,a.bin,b.bin,c.bin");
  await row("c.bin").getByRole("button", { name: "Up" }).click();
  await until("c moved up", async () => (await order()) === "slow.bin,a.bin,c.bin,b.bin");
  await accessible("waiting downloads");
  await row("slow.bin").getByRole("button", { name: "Resume" }).click();
  await tab("Active");
  await row("slow.bin").getByRole("button", { name: "slow.bin", exact: true }).click();
  await page.waitForTimeout(1500);
  await accessible("details");
  // Bytes are written a mebibyte at a time, so this takes some seconds.
  await page.locator("#pieces-text", { hasText: "of the file on the disk" }).waitFor({ timeout: 10_000 });
  await page.screenshot({ path: join(shots, "desk-light-details.png") });
  await page.locator("#limit").fill("0");
  await page.locator("#apply").click();
  await page.locator("#details button.main").click();
  await tab("Finished");
  await row("slow.bin", "complete").waitFor();
  check("the limited file is exact", readFileSync(join(folder, "files/slow.bin")).equals(file));

  await add(url("missing.bin"));
  await row("missing.bin", "error").waitFor();
  await row("missing.bin").getByRole("button", { name: "missing.bin", exact: true }).click();
  await until("the advice is shown", async () => (await page.locator("#facts").textContent()).includes("Check the URL"));
  await page.screenshot({ path: join(shots, "desk-light-error.png") });
  await page.locator("#details button.main").click();
  await row("missing.bin").getByRole("button", { name: "Remove" }).click();
  await row("missing.bin").waitFor({ state: "hidden" });

  // If the answer with the order of the queue is older than the removal, the page must not show the
  // removed download again.
  await tab("Waiting");
  let [asked, answered] = [0, 0];
  await page.route((url) => url.search.includes("sequence=queued"), async (route) => {
    const response = await route.fetch();
    if (++asked <= 2) await new Promise((resolve) => setTimeout(resolve, 1500));
    await route.fulfill({ response });
    answered++;
  });
  await row("b.bin").getByRole("button", { name: "Up" }).click();
  await until("the page requests the order of the queue", () => asked === 1);
  await row("a.bin").getByRole("button", { name: "Remove" }).click();
  await until("both answers arrived", () => answered === 2);
  await until("a is removed, and b is first", async () => (await order()) === "b.bin,c.bin");
  await add("http://", { stays: true });
  await page.locator("#add [data-close]").click();

  await page.getByRole("button", { name: "Settings" }).click();
  await page.locator("#set-max").fill("3");
  await accessible("settings");
  await page.screenshot({ path: join(shots, "desk-light-settings.png") });
  await page.locator("#settings button.main").click();
  await page.locator("#settings").waitFor({ state: "hidden" });

  // A list with ten thousand rows.
  const lines = Array.from({ length: 10000 }, (_, n) => JSON.stringify({ url: url(`n/${n}.bin`), limit_rate: "1k" })).join("\n");
  await page.evaluate(async ([secret, text]) => {
    await fetch("/api/v1/settings", { method: "PATCH", headers: { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" }, body: '{"max-concurrent-downloads":1}' });
    await fetch("/api/v1/lists", { method: "POST", headers: { Authorization: `Bearer ${secret}` }, body: text });
  }, [secret, lines]);
  await page.reload();
  await tab("Waiting");
  await until("ten thousand downloads wait", async () => Number(await page.locator("#tab-queued span").textContent()) >= 9999);
  const rows = await page.locator("li").count();
  check(`only visible rows are drawn (${rows})`, rows > 5 && rows < 60);
  const slowest = await page.evaluate(async () => {
    const list = document.querySelector("#list");
    let slowest = 0;
    for (let at = 0; at < 60; at++) {
      list.scrollTop = at * 9000;
      const before = performance.now();
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      slowest = Math.max(slowest, performance.now() - before);
    }
    return slowest;
  });
  console.log(`page: the slowest of 60 scrolls through 10,000 rows took ${Math.round(slowest)} ms`);
  await page.locator("#search").fill("n/4321.bin");
  await until("one download is found", async () => (await page.locator("li").count()) === 1);
  await page.locator("#search").fill("");
  await accessible("ten thousand downloads");

  for (const [name, width, colorScheme] of [["phone-light", 390, "light"], ["phone-dark", 390, "dark"], ["desk-dark", 1200, "dark"]]) {
    const other = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, storageState: await context.storageState() });
    const view = await other.newPage();
    await view.addInitScript((value) => sessionStorage.setItem("downhaul-secret", value), secret);
    await view.goto(address);
    await view.getByRole("tab", { name: "Finished" }).click();
    await view.locator("li").first().waitFor();
    await view.screenshot({ path: join(shots, `${name}-finished.png`) });
    await view.evaluate(axe);
    const { violations } = await view.evaluate(() => globalThis.axe.run());
    check(`axe on ${name}: ${JSON.stringify(violations)}`, violations.length === 0);
    await view.getByRole("tab", { name: "Active" }).click();
    await view.waitForTimeout(1500);
    await view.screenshot({ path: join(shots, `${name}-active.png`) });
    await view.getByRole("button", { name: "Add", exact: true }).first().click();
    await view.screenshot({ path: join(shots, `${name}-add.png`) });
    await other.close();
  }
  check(`no error in the page: ${problems}`, problems.length === 0);
  console.log("page: all checks passed");
} finally {
  await browser.close();
  daemon.kill("SIGTERM");
  await new Promise((resolve) => daemon.once("exit", resolve));
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
