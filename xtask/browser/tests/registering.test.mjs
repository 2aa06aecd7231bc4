// The clusters of a project: the list, and to register one.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";

/** A port on which nothing listens. */
const NOBODY = "http://127.0.0.1:1";
const CODE = /^VF-\d{4}$/;

const isPath = (pattern) => (address) => pattern.test(address.pathname);

for (const [locale, colorScheme, width, words] of [
  ["en-US", "dark", 1280, { heading: "Clusters", running: "Running" }],
  ["zh-CN", "light", 375, { heading: "集群", running: "运行中" }],
]) {
  inBrowser(`clusters are listed: ${locale}, ${colorScheme}, ${width}`, { locale, colorScheme, width }, async ({ page, rest }) => {
    await open(page, `/p/${await rest.firstProject()}/clusters`);
    await assertSeen(page.getByRole("heading", { name: words.heading, exact: true, level: 1 }));
    for (const name of ["demo-source", "demo-target"]) {
      const row = page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
      await assertSeen(row.getByText(words.running, { exact: true }));
    }
    await assertUsable(page);
  });
}

inBrowser("clusters are found by their names", async ({ page, rest }) => {
  await open(page, `/p/${await rest.firstProject()}/clusters`);
  const source = page.getByRole("link", { name: "demo-source", exact: true });
  const target = page.getByRole("link", { name: "demo-target", exact: true });
  await page.getByLabel("Name, address or ID").fill("demo-tar");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL((address) => address.searchParams.get("q") === "demo-tar");
  await assertSeen(target);
  assert.equal(await source.count(), 0);
  await page.getByRole("link", { name: "Show all" }).click();
  await assertSeen(source);
});

inBrowser("a new project asks for two clusters", async ({ page, rest }) => {
  const project = await rest.newProject(unique("empty"));
  await open(page, `/p/${project}/clusters`);
  await assertSeen(page.getByRole("heading", { name: "Register two clusters: the source and the target" }));
  await assertUsable(page);
  await page.getByRole("link", { name: "Register cluster" }).click();
  await page.waitForURL(isPath(/\/clusters\/new$/));
  await assertUsable(page);
});

inBrowser("a wrong address is told, and the right one registers", async ({ page, rest }) => {
  const project = await rest.newProject(unique("register"));
  await open(page, `/p/${project}/clusters/new`);
  const register = page.getByRole("button", { name: "Register cluster" });
  await page.getByLabel("Name", { exact: true }).fill("search, <i>staging</i>");
  await page.getByLabel("Address (endpoint)", { exact: true }).fill(NOBODY);
  await page.getByLabel("Credential (optional)").fill(demo.credential);
  await register.click();
  const alert = page.getByRole("alert");
  await assertSeen(alert.getByRole("link", { name: CODE }));
  assert.equal(await page.getByLabel("Address (endpoint)", { exact: true }).inputValue(), NOBODY);
  assert.equal(await page.getByLabel("Credential (optional)").inputValue(), "", "a credential is in no page");
  assert.ok(!(await page.content()).includes(demo.credential));
  await assertUsable(page);

  await page.getByLabel("Address (endpoint)", { exact: true }).fill(demo.target);
  await page.getByLabel("Credential (optional)").fill("root:wrong");
  await register.click();
  await assertSeen(alert.getByRole("link", { name: CODE }));

  await page.getByLabel("Credential (optional)").fill(demo.credential);
  await register.click();
  await page.waitForURL((address) => !address.pathname.endsWith("/new"));
  const { clusters } = await rest.get(`/v2/clusters?projectId=${project}`);
  assert.deepEqual(clusters.map(({ clusterName, connectAddress }) => [clusterName, connectAddress]), [["search, <i>staging</i>", demo.target]]);
  await open(page, `/p/${project}/clusters`);
  await assertSeen(page.getByRole("link", { name: "search, <i>staging</i>", exact: true }));
  await assertSeen(page.getByText("Register one more cluster"));
});

inBrowser("a connection is tested without registering", { expected: [/^4\d\d for POST .*\/clusters\/test$/] }, async ({ page, rest }) => {
  const project = await rest.newProject(unique("tested"));
  await open(page, `/p/${project}/clusters/new`);
  const tried = page.getByRole("status").filter({ has: page.locator("dl, [role=alert]") });
  await page.getByLabel("Address (endpoint)", { exact: true }).fill(NOBODY);
  await page.getByRole("button", { name: "Test connection" }).click();
  await assertSeen(tried.getByRole("link", { name: CODE }));
  await page.getByLabel("Address (endpoint)", { exact: true }).fill(demo.source);
  await page.getByLabel("Credential (optional)").fill(demo.credential);
  await page.getByRole("button", { name: "Test connection" }).click();
  await assertSeen(tried.getByText("Connected."));
  await assertSeen(tried.getByText("Milvus 2.3.5"));
  await assertUsable(page);
  assert.equal((await rest.get(`/v2/clusters?projectId=${project}`)).count, 0);
});

inBrowser("a cluster is shown with its collections, and removed", async ({ page, rest }) => {
  const project = await rest.newProject(unique("removed"));
  const cluster = await rest.register(project, "to be removed");
  await open(page, `/p/${project}/clusters/${cluster}`);
  for (const name of ["products", "support_articles", "customer_events", "chat_memory"]) {
    await assertSeen(page.getByRole("link", { name, exact: true }));
  }
  await assertUsable(page);
  await page.getByText("Remove", { exact: true }).click();
  await assertSeen(page.getByText("Remove “to be removed” from the project?"));
  await assertUsable(page);
  await page.getByRole("button", { name: "Remove cluster" }).click();
  await page.waitForURL(isPath(/\/clusters$/));
  await assertSeen(page.getByRole("heading", { name: "Register two clusters: the source and the target" }));
});

inBrowser("without scripts a cluster is registered too", { javaScriptEnabled: false }, async ({ page, rest }) => {
  const project = await rest.newProject(unique("plain"));
  await open(page, `/p/${project}/clusters/new`);
  await page.getByLabel("Name", { exact: true }).fill("plain");
  await page.getByLabel("Address (endpoint)", { exact: true }).fill(demo.target);
  await page.getByLabel("Credential (optional)").fill(demo.credential);
  await page.getByRole("button", { name: "Register cluster" }).click();
  assert.equal((await rest.get(`/v2/clusters?projectId=${project}`)).count, 1);
});
