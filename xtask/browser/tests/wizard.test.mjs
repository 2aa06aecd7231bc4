// A new migration, step by step, between two real servers.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";

/** A project of its own with a source and a target. */
async function place(rest) {
  const project = await rest.newProject(unique("Wizard"));
  const source = await rest.register(project, unique("old"), demo.source);
  const target = await rest.register(project, unique("new"), demo.target);
  return { project, source, target };
}

/** Databases of the target that no other test writes to. */
function database() {
  return unique("shop").replaceAll(/\W/g, "_");
}

async function toReview(page, db) {
  await page.getByLabel("Search collections").fill("product");
  const box = page.getByRole("checkbox", { name: /^products/ });
  await box.check();
  await assertSeen(page.getByText(/^1 selected/));
  await page.getByRole("button", { name: "Choose the target" }).click();
  await page.getByRole("radio", { name: /^new / }).check();
  await page.getByLabel("Use other names").check();
  await page.getByLabel(/becomes$/).fill(db);
  await page.getByRole("button", { name: "Check this migration" }).click();
  await assertSeen(page.getByText("Ready to migrate."));
  await page.getByRole("link", { name: "Review", exact: true }).click();
}

inBrowser("a migration is prepared and started", async ({ page, rest }) => {
  const { project, source } = await place(rest);
  await open(page, `/p/${project}/migrations/new?source=${source}`);
  await assertSeen(page.getByRole("heading", { name: "What do you migrate?" }));
  await assertSeen(page.getByRole("checkbox", { name: /^products/ }));
  await assertUsable(page);
  await toReview(page, database());
  await assertSeen(page.getByRole("heading", { name: "What will be done" }));
  await assertUsable(page);
  const draft = page.url();
  await page.getByLabel(/^Writes to the source are stopped/).check();
  await page.getByRole("button", { name: "Start the migration" }).click();
  await page.waitForURL((address) => /\/migrations\/[0-9a-f-]{36}$/.test(address.pathname));
  const job = page.url();
  await page.goto(draft);
  assert.equal(page.url(), job, "the draft leads to its job");
  const jobId = new URL(job).pathname.split("/").at(-1);
  await rest.until(`/v2/jobs/${jobId}`, ({ status }) => status === "SUCCESSFUL");
});

inBrowser("a source elsewhere is tried first", async ({ page, rest }) => {
  const { project } = await place(rest);
  await open(page, `/p/${project}/migrations/new`);
  await page.getByRole("link", { name: "From another organization" }).click();
  await assertUsable(page);
  await page.getByLabel("Endpoint").fill("http://127.0.0.1:1");
  await page.getByLabel("Credential (optional)").fill("root:wrong");
  await page.getByRole("button", { name: "Test the connection" }).click();
  await assertSeen(page.getByRole("alert"));
  assert.equal(await page.getByLabel("Endpoint").inputValue(), "http://127.0.0.1:1");
  assert.equal(await page.getByLabel("Credential (optional)").inputValue(), "");
  await page.getByLabel("Endpoint").fill(demo.source);
  await page.getByLabel("Credential (optional)").fill(demo.credential);
  await page.getByRole("button", { name: "Test the connection" }).click();
  await assertSeen(page.getByText("Connected"));
  await assertSeen(page.getByRole("checkbox", { name: /^products/ }));
  await assertUsable(page);
});

for (const [locale, colorScheme, width] of [["zh-CN", "dark", 375], ["en-US", "light", 375], ["en-US", "dark", 1280]]) {
  inBrowser(`every step is usable: ${locale}, ${colorScheme}, ${width}`, { locale, colorScheme, width }, async ({ page, rest }) => {
    const { project, source } = await place(rest);
    await open(page, `/p/${project}/migrations/new`);
    await assertUsable(page);
    await page.locator(`input[value="${source}"]`).check();
    await page.locator("main button.main").click();
    await page.locator("input[name=collection]").first().check();
    await assertUsable(page);
    await page.locator("main button.main").click();
    await page.locator("input[name=cluster]").first().check();
    await page.locator("input[value=rename]").check();
    await page.locator("input[name^='database ']").fill(database());
    await assertUsable(page);
    await page.locator("main button.main").click();
    await assertSeen(page.locator("main a.main"));
    await assertUsable(page);
    await page.locator("main a.main").click();
    await assertSeen(page.locator(".aloud"));
    await assertUsable(page);
  });
}

inBrowser("it works without scripts", { javaScriptEnabled: false }, async ({ page, rest }) => {
  const { project, source } = await place(rest);
  await open(page, `/p/${project}/migrations/new?source=${source}`);
  await page.getByRole("link", { name: "Show the collections" }).click();
  await page.getByRole("checkbox", { name: /^products/ }).check();
  await page.getByRole("button", { name: "Choose the target" }).click();
  await page.getByRole("radio", { name: /^new / }).check();
  await page.getByLabel("Use other names").check();
  await page.getByLabel(/becomes$/).fill(database());
  await page.getByRole("button", { name: "Check this migration" }).click();
  // The page reloads itself until the check is over.
  await assertSeen(page.getByText("Ready to migrate."));
  await page.getByRole("link", { name: "Review", exact: true }).click();
  await assertSeen(page.getByRole("button", { name: "Start the migration" }));
});
