// A migration from a cluster of another organization: its credential is typed once, and shown nowhere.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique, uniqueDatabase } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";

const WRONG = "root:not-the-password";
/** The pages of a job, besides the first one. */
const TABS = ["Collections", "Events", "Pre-check", "Verification", "Report"];

/** Everything that the service answers to a page, as text. */
function answers(context) {
  const coming = [];
  context.on("response", (response) => {
    // A redirect has no body.
    const body = response.text().catch(() => "");
    coming.push(body.then((text) => ({ address: response.url(), text })));
  });
  return () => Promise.all(coming);
}

inBrowser("a source elsewhere is migrated, and its credential is shown nowhere", async ({ page, context, rest }) => {
  const project = await rest.newProject(unique("Elsewhere"));
  await rest.register(project, unique("new"), demo.target);
  const told = answers(context);
  await open(page, `/p/${project}/migrations/new`);
  await page.getByRole("link", { name: "From another organization" }).click();
  const endpoint = page.getByLabel("Endpoint");
  const credential = page.getByLabel("Credential (optional)");

  await endpoint.fill(demo.source);
  await credential.fill(WRONG);
  await page.getByRole("button", { name: "Test the connection" }).click();
  const alert = page.getByRole("alert");
  await assertSeen(alert.getByRole("link", { name: "VF-0110" }));
  assert.notEqual((await alert.locator(".hint").first().innerText()).trim(), "", "the way out is told");
  assert.equal(await endpoint.inputValue(), demo.source, "the address is kept");
  assert.equal(await credential.inputValue(), "", "the credential is not");
  await assertUsable(page);

  await credential.fill(demo.credential);
  await page.getByRole("button", { name: "Test the connection" }).click();
  await assertSeen(page.getByText("Connected", { exact: true }));
  await assertSeen(page.getByText("stored encrypted"));
  await page.getByRole("checkbox", { name: /^support_articles/ }).check();
  await page.getByRole("button", { name: "Choose the target" }).click();
  await page.getByRole("radio", { name: /^new / }).check();
  await page.getByLabel("Use other names").check();
  const database = uniqueDatabase("elsewhere");
  await page.getByLabel(/becomes$/).fill(database);
  await page.getByRole("button", { name: "Check this migration" }).click();
  await assertSeen(page.getByText("Ready to migrate."));
  await page.getByRole("link", { name: "Review", exact: true }).click();
  await page.getByLabel(/^Writes to the source are stopped/).check();
  await page.getByRole("button", { name: "Start the migration" }).click();
  await page.waitForURL((address) => /\/migrations\/[0-9a-f-]{36}$/.test(address.pathname));
  const jobId = new URL(page.url()).pathname.split("/").at(-1);
  try {
    await rest.ended(jobId);
    // The page says so by itself.
    await assertSeen(page.getByRole("region", { name: "Result" }));
    for (const tab of TABS) {
      await page.getByRole("navigation", { name: "Parts of this migration" }).getByRole("link", { name: tab, exact: true }).click();
      await page.waitForURL((address) => address.search !== "");
      await assertSeen(page.getByRole("main"));
    }
    await open(page, `/v2/jobs/${jobId}/report?format=json`);
    await open(page, `/v2/jobs/${jobId}/details`);
    await open(page, `/o/${await rest.organization()}/audit`);
    for (const { address, text } of await told()) {
      for (const secret of [demo.credential, WRONG]) assert.ok(!text.includes(secret), `a credential is in ${address}`);
    }
  } finally {
    await rest.clean(jobId, database);
  }
});
