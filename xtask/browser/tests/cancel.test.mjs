// A migration is canceled from its page: it goes on later, or nothing of it stays on the target.
import assert from "node:assert/strict";

import { assertSeen, inBrowser, open } from "../harness/test.mjs";
import {
  ENGLISH, SLOW, WORK_MILLISECONDS, assertRuns, assertSuccessful, collectionsOf, liftLimit, place, start, targetDatabase,
  toReview, until,
} from "../harness/migration.mjs";

/** A migration of `products` that is limited from its start, and has begun to write. */
async function limited({ page, rest, t }) {
  const { project, source } = await place(rest, "Canceled");
  const { db, isWrittenBy } = targetDatabase(rest, t);
  await open(page, `/p/${project}/migrations/new?source=${source}`);
  await toReview(page, ENGLISH, db);
  const job = await start(page, ENGLISH, SLOW);
  isWrittenBy(job);
  await assertRuns(page, ENGLISH);
  await until(async () => (await collectionsOf(db)).includes("products"), "products is created on the target");
  return { job, db };
}

async function assertCanceled(page) {
  const result = page.getByRole("region", { name: "Result", exact: true });
  await assertSeen(result.getByRole("heading", { name: "Canceled" }), WORK_MILLISECONDS);
}

inBrowser("a migration is canceled, and goes on later", async ({ page, rest, t }) => {
  const { job, db } = await limited({ page, rest, t });
  await page.getByText("Cancel…", { exact: true }).click();
  await assertSeen(page.getByText("Cancel this migration?"));
  await assertSeen(page.getByText(/The source is not touched\. It can be resumed later/));
  await page.getByRole("button", { name: "Cancel the migration" }).click();
  await assertCanceled(page);
  assert.deepEqual(await collectionsOf(db), ["products"], "what was copied stays");

  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await assertRuns(page, ENGLISH);
  await liftLimit(page, ENGLISH);
  await assertSuccessful(page, ENGLISH);
  assert.equal((await rest.get(`/v2/jobs/${job}`)).status, "SUCCESSFUL");
});

inBrowser("a migration is canceled, and the target cleaned up", async ({ page, rest, t }) => {
  const { job, db } = await limited({ page, rest, t });
  await page.getByText("Cancel…", { exact: true }).click();
  await page.getByLabel(/^Then remove from the target what this migration created/).check();
  await page.getByRole("button", { name: "Cancel the migration" }).click();
  await assertCanceled(page);
  await until(async () => (await collectionsOf(db)).length === 0, "nothing of it is on the target");
  assert.equal((await rest.get(`/v2/jobs/${job}`)).status, "CANCELED");
});

inBrowser("what is typed outlives the end of a migration", async ({ page, rest, t }) => {
  const { job } = await limited({ page, rest, t });
  await page.getByText("Limit rate…", { exact: true }).click();
  const rate = page.getByLabel("Maximum write rate");
  await rate.fill("20MB/s");
  await rest.post(`/v2/jobs/${job}/cancel`, {});
  // It says so with the first change, or with the end where that comes first.
  await assertSeen(page.getByText("Your changes on this page are kept until you reload it."), WORK_MILLISECONDS);
  assert.equal(await rate.inputValue(), "20MB/s");
  // The page shows the new state once it is loaded again, and not before.
  await page.getByRole("button", { name: "Reload", exact: true }).click();
  await assertCanceled(page);
});
