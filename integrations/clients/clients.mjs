// Tests `downhaul daemon` with clients of aria2 that are written in JavaScript. Usage: node
// clients.mjs PORT SECRET URL
import { createRequire } from "node:module";
import { aria2, close, open, system } from "maria2";
import { createHTTP, createWebSocket } from "maria2/transport";

const [port, secret, url] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const check = (what, is) => {
  if (!is) throw new Error(`wrong: ${what}`);
};

// The package aria2 of npm sends no version in its calls, and can send several calls in one batch.
const Aria2 = require("aria2");
const old = new Aria2({ host: "127.0.0.1", port, secure: false, secret, path: "/jsonrpc" });
await old.open();
const complete = new Promise((resolve) => old.on("onDownloadComplete", ([{ gid }]) => resolve(gid)));
const gid = await old.call("addUri", [`${url}-one`]);
check("the notice names the download", (await complete) === gid);
check("multicall", (await old.multicall([["getVersion"], ["tellActive"]]))[0][0].version === "1.37.0");
const batch = await Promise.all(await old.batch([["getGlobalStat"], ["getVersion"]]));
check("batch", batch[1].version === "1.37.0");
await old.close();

for (const transport of [createWebSocket(`ws://127.0.0.1:${port}/jsonrpc`), createHTTP(`http://127.0.0.1:${port}/jsonrpc`)]) {
  const connection = await open(transport, { secret });
  check("version", (await aria2.getVersion(connection)).version === "1.37.0");
  const added = await aria2.addUri(connection, [`${url}-two`], { pause: "true" });
  check("paused", (await aria2.tellStatus(connection, added)).status === "paused");
  check("methods", (await system.listMethods(connection)).length === 36);
  await aria2.remove(connection, added);
  close(connection);
}
process.exit(0);
