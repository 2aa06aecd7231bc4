// From the sign-in to the end of a migration in a browser without scripts.
import { assertSeen, inBrowser, open, signInByForm, unique, uniqueDatabase } from "../harness/test.mjs";
import { demo, OWNER, PASSWORD } from "../harness/service.mjs";

const look = { javaScriptEnabled: false, signedIn: false };

inBrowser("a whole migration without scripts", look, async ({ page, rest }) => {
  const project = await rest.newProject(unique("Plain"));
  // Sources of every project are offered.
  const source = unique("plain");
  await rest.register(project, source, demo.source);
  await rest.register(project, "new", demo.target);
  await open(page, "/sign-in");
  await signInByForm(page, OWNER, PASSWORD);
  await assertSeen(page.getByRole("heading", { name: "Projects", exact: true }));

  await open(page, `/p/${project}/migrations`);
  await page.getByRole("link", { name: "New migration" }).click();
  await page.getByRole("radio", { name: new RegExp(`^${source} `) }).check();
  await page.getByRole("button", { name: "Choose its collections" }).click();
  await page.getByRole("link", { name: "Show the collections" }).click();
  await page.getByRole("checkbox", { name: /^support_articles/ }).check();
  await page.getByRole("button", { name: "Choose the target" }).click();
  await page.getByRole("radio", { name: /^new / }).check();
  await page.getByLabel("Use other names").check();
  const database = uniqueDatabase("plain");
  await page.getByLabel(/becomes$/).fill(database);
  await page.getByRole("button", { name: "Check this migration" }).click();
  // The page reloads itself until the check is over.
  await assertSeen(page.getByText("Ready to migrate."));
  await page.getByRole("link", { name: "Review", exact: true }).click();
  await page.getByLabel(/^Writes to the source are stopped/).check();
  await page.getByRole("button", { name: "Start the migration" }).click();
  await page.waitForURL((address) => /\/migrations\/[0-9a-f-]{36}$/.test(address.pathname));
  const jobId = new URL(page.url()).pathname.split("/").at(-1);
  try {
    await rest.ended(jobId);
    // So does the page of the job, until its end.
    await assertSeen(page.getByRole("region", { name: "Result" }));
    await assertSeen(page.getByRole("button", { name: "Load those that were loaded on the source" }).or(page.getByText("Done", { exact: true })));
  } finally {
    await rest.clean(jobId, database);
  }
});
