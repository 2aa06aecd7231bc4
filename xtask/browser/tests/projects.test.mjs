// The projects of an organization.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique } from "../harness/test.mjs";
import { Rest } from "../harness/service.mjs";

for (const [locale, colorScheme, width, heading] of [
  ["en-US", "light", 1280, "Projects"],
  ["zh-CN", "dark", 375, "项目"],
]) {
  inBrowser(`projects are listed: ${locale}, ${colorScheme}, ${width}`, { locale, colorScheme, width }, async ({ page, rest }) => {
    await open(page, "/");
    await assertSeen(page.getByRole("heading", { name: heading, exact: true }));
    const project = await rest.firstProject();
    const row = page.getByRole("row").filter({ hasText: project });
    await assertSeen(row.getByRole("link", { name: "Default Project" }));
    await assertUsable(page);
  });
}

inBrowser("a project is made", async ({ page, rest }) => {
  await open(page, `/o/${await rest.organization()}/projects`);
  const name = unique("Search <b>team</b>");
  await page.getByLabel("Name of a new project").fill(name);
  await page.getByRole("button", { name: "New project" }).click();
  await page.waitForURL((address) => /^\/p\/proj-[0-9a-f]+\/clusters$/.test(address.pathname));
  const made = (await rest.get("/v2/projects")).find(({ projectName }) => projectName === name);
  assert.ok(page.url().includes(made.projectId));
  await open(page, `/o/${await rest.organization()}/projects`);
  await assertSeen(page.getByRole("link", { name, exact: true }));
});

inBrowser("a member sees no project of others", { as: async (rest) => {
  const { linkToken } = await rest.invite(`${unique("carol").replace(" ", "-")}@example.com`, "Carol");
  return Rest.signInByLink(linkToken);
} }, async ({ page, rest }) => {
  await open(page, `/o/${await rest.organization()}/projects`);
  await assertSeen(page.getByText("No project is open to you."));
  assert.equal(await page.getByRole("button", { name: "New project" }).count(), 0);
  await assertUsable(page);
});

inBrowser("another organization is not there", async ({ page }) => {
  const response = await page.goto("/o/org-00000000000000000000000000000000/projects");
  assert.equal(response.status(), 404);
  await assertSeen(page.getByRole("link", { name: /^VF-\d{4}$/ }));
  await assertUsable(page);
});

inBrowser("on a phone the menu leads everywhere", { width: 375 }, async ({ page, rest }) => {
  await open(page, `/o/${await rest.organization()}/projects`);
  const clusters = page.getByRole("banner").getByRole("link", { name: "Clusters", exact: true });
  assert.equal(await clusters.isVisible(), false);
  await page.getByLabel("Menu").click();
  await assertSeen(clusters);
  await assertUsable(page);
});
