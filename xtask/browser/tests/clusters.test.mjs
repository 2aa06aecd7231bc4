// Clusters: what a script adds to their pages.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";

inBrowser("a connection is tested, and nothing typed is lost", async ({ page, rest }) => {
  const project = await rest.newProject(unique("clusters"));
  await open(page, `/p/${project}/clusters`);
  await assertUsable(page);
  await page.getByRole("link", { name: "Register cluster" }).click();
  await page.getByLabel("Name").fill("search, production");
  await page.getByLabel("Address (endpoint)").fill(demo.source);
  await page.getByLabel("Credential").fill(demo.credential);
  await page.getByRole("button", { name: "Test connection" }).click();
  await assertSeen(page.getByText("Connected."));
  assert.equal(await page.getByLabel("Credential").inputValue(), demo.credential);
  await assertUsable(page);
  await page.getByRole("button", { name: "Register cluster" }).click();
  await assertSeen(page.getByRole("heading", { name: "search, production" }));
  await assertSeen(page.getByRole("link", { name: "products" }));
  await assertUsable(page);
});

inBrowser("a collection, in Chinese on a phone", { locale: "zh-CN", colorScheme: "dark", width: 375 }, async ({ page, rest }) => {
  const project = await rest.firstProject();
  const cluster = await rest.cluster("demo-source", project);
  await open(page, `/p/${project}/clusters/${cluster}`);
  await page.getByRole("link", { name: "products" }).click();
  await assertSeen(page.getByText("主键"));
  await assertUsable(page);
  await page.getByRole("link", { name: "估算容量" }).click();
  await assertSeen(page.getByText("性能型"));
  await assertUsable(page);
});
