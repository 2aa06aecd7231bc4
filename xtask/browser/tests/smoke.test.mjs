// The harness itself, with documents that are always there.
import assert from "node:assert/strict";
import { test } from "node:test";

import { asOwner, inBrowser, open } from "../harness/test.mjs";
import { demo, url } from "../harness/service.mjs";

inBrowser("the service answers in a browser", { signedIn: false }, async ({ page }) => {
  await open(page, "/healthz");
  assert.match(await page.content(), /"status":"ok"/);
});

inBrowser("the API is described", { signedIn: false, locale: "zh-CN" }, async ({ page }) => {
  const response = await open(page, "/openapi.json");
  assert.ok((await response.json()).paths["/v2/clusters"]);
});

// Each of these has to fail a test that does not expect it.
inBrowser("a request to elsewhere is an offence", { signedIn: false, expected: ["Content Security Policy", "request to elsewhere"] }, async ({ page, offences }) => {
  await open(page, "/healthz");
  await page.evaluate(() => fetch("https://example.com/").catch(() => {}));
  assert.ok(offences.some((offence) => offence.includes("https://example.com/")), String(offences));
  await page.goto("https://example.com/").catch(() => {});
  assert.ok(offences.includes("request to elsewhere: https://example.com/"), String(offences));
});

inBrowser("an error in the console is an offence", { signedIn: false, expected: ["planted"] }, async ({ page, offences }) => {
  await open(page, "/healthz");
  const told = page.waitForEvent("console");
  await page.evaluate(() => console.error("planted"));
  await told;
  assert.deepEqual(offences, ["console: planted"]);
});

test("both clusters of the demonstration are there", async () => {
  const rest = await asOwner();
  const { clusters } = await rest.get(`/v2/clusters?projectId=${await rest.firstProject()}`);
  const shown = clusters.map(({ clusterName, connectAddress, status }) => [clusterName, connectAddress, status]);
  assert.deepEqual(shown.filter(([name]) => name.startsWith("demo-")), [
    ["demo-source", demo.source, "RUNNING"],
    ["demo-target", demo.target, "RUNNING"],
  ]);
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
});
