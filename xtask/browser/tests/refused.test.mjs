// What can't be migrated is told before anything is written, with its reason and the way out.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique, uniqueDatabase } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";

/** An edition that allows every pair, and two collections a migration. */
const TWO_A_MIGRATION = JSON.stringify({
  edition: "two-a-migration",
  source: "",
  collections_per_job_max: 2,
  pairs: ["free", "serverless", "dedicated"].flatMap((source) =>
    ["free", "serverless", "dedicated"].map((target) => ({ source, target, outcome: "supported" }))),
});

/** Goes on to the choice of a target, with one collection. */
async function toTarget(page, project, source, collection = "support_articles") {
  await open(page, `/p/${project}/migrations/new?source=${source}`);
  await page.getByRole("checkbox", { name: new RegExp(`^${collection}`) }).check();
  await page.getByRole("button", { name: "Choose the target" }).click();
  await assertSeen(page.getByRole("group", { name: "Target cluster" }));
}

/** A target that can't be chosen, and says why by its code and what to do. */
async function assertRefused(page, name, code, words) {
  const radio = page.getByRole("radio", { name, exact: true });
  assert.equal(await radio.isDisabled(), true, `${name} can't be chosen`);
  const choice = page.getByRole("group", { name: "Target cluster" }).locator(".choice").filter({ has: radio });
  await assertSeen(choice.getByRole("link", { name: code }));
  const told = await choice.innerText();
  assert.match(told, words);
  // Behind the reason comes what to do.
  const [, way] = told.split(words);
  assert.ok(way.trim().length > 20, `no way out: ${told}`);
}

inBrowser("pairs that the policy refuses are told", async ({ page, rest }) => {
  const project = await rest.newProject(unique("Plans"));
  const dedicated = await rest.register(project, "source dedicated", demo.source, "Dedicated");
  const free = await rest.register(project, "source free", demo.source, "Free");
  for (const plan of ["Dedicated", "Serverless", "Free"]) await rest.register(project, `target ${plan}`, demo.target, plan);

  await toTarget(page, project, dedicated);
  await assertRefused(page, "target Serverless", "VF-0219", /lower than the source's/);
  await assertRefused(page, "target Free", "VF-0219", /lower than the source's/);
  assert.equal(await page.getByRole("radio", { name: /^target Dedicated / }).isEnabled(), true);
  // The source takes databases with other names only.
  const source = page.getByRole("radio", { name: /^source dedicated / });
  await source.check();
  await page.getByRole("button", { name: "Check this migration" }).click();
  await assertSeen(page.getByRole("link", { name: "VF-0204" }));
  await assertSeen(page.getByText("or another target database"));
  assert.equal(await source.isChecked(), true);
  await assertUsable(page);

  await toTarget(page, project, free);
  await assertRefused(page, "target Serverless", "VF-0220", /becomes Serverless in place/);
  await assertRefused(page, "target Dedicated", "VF-0221", /makes the Dedicated cluster/);
  await assertRefused(page, "target Free", "VF-0219", /no migration ends on a Free cluster/);
  // Nothing is left to choose.
  assert.equal(await page.getByRole("button", { name: "Check this migration" }).isDisabled(), true);
});

inBrowser("a name that the target has fails the check, and another database passes", async ({ page, rest }) => {
  const project = await rest.newProject(unique("Taken"));
  const source = await rest.register(project, "old", demo.source);
  const target = await rest.register(project, "new", demo.target);
  const database = uniqueDatabase("taken");
  const jobId = await rest.migrate(source, target, ["support_articles"], database, { verify: "none" });
  try {
    await rest.ended(jobId);
    await toTarget(page, project, source);
    await page.getByRole("radio", { name: /^new / }).check();
    await page.getByLabel("Use other names").check();
    await page.getByLabel(/becomes$/).fill(database);
    await page.getByRole("button", { name: "Check this migration" }).click();
    await assertSeen(page.getByText("The migration can't start yet."));
    await assertSeen(page.getByRole("link", { name: "VF-0203" }));
    await assertSeen(page.getByText(`the target already has \`${database}.support_articles\``));
    await assertSeen(page.getByText(/another target database/));
    assert.equal(await page.getByRole("button", { name: "Review", exact: true }).isDisabled(), true);
    await assertUsable(page);

    await page.getByRole("link", { name: "Back", exact: true }).click();
    const name = page.getByLabel(/becomes$/);
    assert.equal(await name.inputValue(), database, "what was typed is kept");
    await name.fill(uniqueDatabase("free"));
    await page.getByRole("button", { name: "Check this migration" }).click();
    await assertSeen(page.getByText("Ready to migrate."));
    await assertSeen(page.getByRole("link", { name: "Review", exact: true }));
  } finally {
    await rest.clean(jobId, database);
  }
});

inBrowser("more collections than the edition allows are told", { ownService: true }, async ({ page, rest }) => {
  // The edition is of a whole organization, so this one is nobody else's.
  await rest.patch("/v2/organization", { policyEdition: TWO_A_MIGRATION });
  const project = await rest.newProject("Limited");
  const source = await rest.register(project, "old", demo.source);
  await rest.register(project, "new", demo.target);
  await open(page, `/p/${project}/migrations/new?source=${source}`);
  const names = ["customer_events", "products", "support_articles"];
  for (const name of names) await page.getByRole("checkbox", { name: new RegExp(`^${name}`) }).check();
  await assertSeen(page.getByText(/^3 selected \(at most 2\), about/));
  await page.getByRole("button", { name: "Choose the target" }).click();
  const alert = page.getByRole("alert");
  await assertSeen(alert.getByRole("link", { name: "VF-0808" }));
  await assertSeen(alert.getByText(/at most 2 collections each/));
  for (const name of names) {
    assert.equal(await page.getByRole("checkbox", { name: new RegExp(`^${name}`) }).isChecked(), true, `${name} stays chosen`);
  }
  await assertUsable(page);
  await page.getByRole("checkbox", { name: /^products/ }).uncheck();
  await page.getByRole("button", { name: "Choose the target" }).click();
  await assertSeen(page.getByRole("radio", { name: /^new / }));
});
