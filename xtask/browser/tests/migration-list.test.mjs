// The list of a project's migrations.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique } from "../harness/test.mjs";
import { Rest } from "../harness/service.mjs";

for (const [locale, colorScheme, width, words] of [
  ["en-US", "light", 1280, { heading: "Migrations", purpose: "A migration copies collections", button: "New migration" }],
  ["zh-CN", "dark", 375, { heading: "数据迁移", purpose: "迁移任务将 Collection", button: "新建迁移" }],
]) {
  inBrowser(`a project without migrations says what they are: ${locale}`, { locale, colorScheme, width }, async ({ page, rest }) => {
    const project = await rest.newProject(unique("no migrations"));
    await open(page, `/p/${project}/migrations`);
    await assertSeen(page.getByRole("heading", { name: words.heading, exact: true, level: 1 }));
    await assertSeen(page.getByText(words.purpose));
    const start = page.getByRole("link", { name: words.button, exact: true });
    assert.equal(await start.count(), 1);
    assert.equal(await start.getAttribute("href"), `/p/${project}/migrations/new`);
    await assertUsable(page);
  });
}

/** Somebody with a role in a project. */
async function somebody(rest, project, projectRole) {
  const { userId, linkToken } = await rest.invite(`${unique(projectRole).replace(" ", "-")}@example.com`, "Dora");
  await rest.put(`/v2/projects/${project}/users/${userId}`, { projectRole });
  return Rest.signInByLink(linkToken);
}

let readOnly;
inBrowser("who only reads is not asked to start one", { as: async (rest) => {
  readOnly = await rest.newProject(unique("read-only"));
  return somebody(rest, readOnly, "readOnly");
} }, async ({ page }) => {
  await open(page, `/p/${readOnly}/migrations`);
  await assertSeen(page.getByText("A migration copies collections"));
  assert.equal(await page.getByRole("link", { name: "New migration" }).count(), 0);
});

inBrowser("a filter that matches nothing leads back to all", async ({ page, rest }) => {
  const project = await rest.newProject(unique("filtered"));
  await open(page, `/p/${project}/migrations?status=FAILED&search=nothing-like-this`);
  await assertSeen(page.getByText("No migration matches."));
  await assertUsable(page);
  await page.getByRole("link", { name: "Show all" }).click();
  await page.waitForURL((address) => address.search === "");
  await assertSeen(page.getByText("A migration copies collections"));
});
