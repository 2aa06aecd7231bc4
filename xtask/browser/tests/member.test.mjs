// What roles in a project allow: reading, acting, or nothing.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique, uniqueDatabase } from "../harness/test.mjs";
import { demo, Rest } from "../harness/service.mjs";

/** Somebody of the organization, signed in; with a role in a project where one is named. */
async function somebody(rest, name, project = undefined, projectRole = undefined) {
  const { userId, linkToken } = await rest.invite(`${unique(name.toLowerCase()).replace(" ", "-")}@example.com`, name);
  if (project) await rest.put(`/v2/projects/${project}/users/${userId}`, { projectRole });
  return Rest.signInByLink(linkToken);
}

/** A project with both clusters and a successful job. */
async function place(rest) {
  const project = await rest.newProject(unique("Roles"));
  const source = await rest.register(project, "old", demo.source);
  const target = await rest.register(project, "new", demo.target);
  return { project, source, target };
}

/** Buttons and links in the page that change something; searches do not. */
async function deeds(page) {
  const main = page.getByRole("main");
  const buttons = await main.locator("form[method=post]").count();
  const links = await main.locator("a[href*='/new'], a[href$='/capacity']").allInnerTexts();
  return { buttons, links };
}

inBrowser("who only reads sees everything and changes nothing", { signedIn: false }, async ({ page, context, rest }) => {
  const { project, source, target } = await place(rest);
  const database = uniqueDatabase("roles");
  const jobId = await rest.migrate(source, target, ["support_articles"], database, { verify: "none" });
  try {
    await rest.ended(jobId);
    const admin = await somebody(rest, "Ada", project, "admin");
    const reader = await somebody(rest, "Rita", project, "readOnly");
    await context.addCookies([reader.cookie()]);

    for (const [path, seen] of [
      ["migrations", page.getByRole("link", { name: "old to new" })],
      [`migrations/${jobId}`, page.getByRole("region", { name: "Result" })],
      [`migrations/${jobId}?show=verification`, page.getByRole("heading", { name: "Verification", exact: true })],
      ["clusters", page.getByRole("link", { name: "old", exact: true })],
      [`clusters/${source}`, page.getByRole("link", { name: "products", exact: true })],
      ["members", page.getByText("A Project Admin gives roles.")],
    ]) {
      await open(page, `/p/${project}/${path}`);
      await assertSeen(seen);
      assert.deepEqual(await deeds(page), { buttons: 0, links: [] }, `${path} offers what its reader may not do`);
    }

    const response = await page.goto(`/p/${project}/migrations/new`);
    assert.equal(response.status(), 403);
    await assertSeen(page.getByText("Who can"));
    await assertSeen(page.getByRole("main").getByRole("listitem").filter({ hasText: "Ada" }));
    await assertUsable(page);

    // Whoever makes requests by hand gets no further: with the token of the page, so that only the role is in the way.
    await open(page, `/p/${project}/migrations/${jobId}`);
    const csrf = await page.locator("input[name=csrf]").first().inputValue();
    for (const [path, form] of [
      [`migrations/${jobId}/cancel`, { clean: "1" }],
      [`migrations/${jobId}/load`, {}],
      [`migrations/${jobId}/verify`, { level: "count" }],
      [`clusters/${source}/remove`, {}],
      ["clusters/new", { name: "mine", address: demo.source }],
      ["members", { email: "rita@example.com", role: "admin" }],
    ]) {
      const answer = await page.request.post(`/p/${project}/${path}`, { form: { csrf, ...form }, maxRedirects: 0 });
      assert.equal(answer.status(), 403, `POST ${path}`);
    }
    assert.equal((await rest.get(`/v2/clusters/${source}`)).clusterId, source);

    await context.clearCookies();
    await context.addCookies([admin.cookie()]);
    await open(page, `/p/${project}/migrations/new`);
    await assertSeen(page.getByRole("radio", { name: /^old / }));
    await open(page, `/p/${project}/migrations/${jobId}?show=verification`);
    await page.getByLabel("How thoroughly").selectOption("count");
    await page.getByRole("button", { name: "Verify again" }).click();
    await assertSeen(page.getByText("1 collection compared"));
  } finally {
    await rest.clean(jobId, database);
  }
});

inBrowser("who has no project is told, and finds nothing of one", { signedIn: false }, async ({ page, context, rest }) => {
  const { project, source } = await place(rest);
  const stranger = await somebody(rest, "Stan");
  await context.addCookies([stranger.cookie()]);
  await open(page, `/o/${await rest.organization()}/projects`);
  await assertSeen(page.getByText("No project is open to you."));
  await assertUsable(page);
  for (const path of ["migrations", "migrations/new", "clusters", `clusters/${source}`, "clusters/new", "members"]) {
    const response = await page.goto(`/p/${project}/${path}`);
    assert.equal(response.status(), 404, path);
    assert.ok(!(await page.content()).includes("Roles "), `${path} tells the project's name`);
  }
  const csrf = stranger.session.csrf;
  const answer = await page.request.post(`/p/${project}/clusters/${source}/remove`, { form: { csrf }, maxRedirects: 0 });
  assert.equal(answer.status(), 404);
});
