// A service that is killed while a job runs, and an open page that goes on by itself.
import assert from "node:assert/strict";

import { assertSeen, inBrowser, open, uniqueDatabase } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";

/** Slow enough that the job still runs when the service is killed. */
const SLOW = "20rows/s";

// While nobody listens, the page's requests fail: the browser tells so in its console.
const expected = [/^console: .*net::ERR_/];

inBrowser("a page goes on after the service was killed", { ownService: true, expected }, async ({ page, rest, service }) => {
  const project = await rest.newProject("Restarted");
  const source = await rest.register(project, "old", demo.source);
  const target = await rest.register(project, "new", demo.target);
  const database = uniqueDatabase("restarted");
  const jobId = await rest.migrate(source, target, ["support_articles"], database, { verify: "full", maxRate: SLOW });
  try {
    let loads = 0;
    page.on("request", (request) => {
      if (request.isNavigationRequest()) loads += 1;
    });
    await open(page, `/p/${project}/migrations/${jobId}`);
    // Some rows are written, and not all.
    await assertSeen(page.getByRole("region", { name: "Progress" }).getByText(/^[1-9]\d?% copied$/));
    // The page may have loaded itself anew once, when the job began.
    const before = loads;
    await service.kill();
    const note = page.getByText(/^Reconnecting, last update \d\d:\d\d:\d\d$/);
    await assertSeen(note);
    assert.equal(loads, before);

    await service.startAgain();
    await note.waitFor({ state: "hidden" });
    await rest.until(`/v2/jobs/${jobId}`, ({ status }) => status === "IN_PROGRESS");
    await rest.put(`/v2/jobs/${jobId}/rate`, { maxRate: "none" });
    await rest.ended(jobId);
    // Only the page itself loaded anything anew: at its end, for what stands around its live part.
    const result = page.getByRole("region", { name: "Result" });
    await assertSeen(result);
    await assertSeen(page.getByRole("main").getByText("Successful", { exact: true }));
    await assertSeen(result.getByText(/bit for bit/));
    assert.ok(loads <= before + 1, `${loads} loads, ${before} before`);
    const { collections } = await rest.get(`/v2/clusters/${target}/collections`);
    const copied = collections.find(({ dbName }) => dbName === database);
    assert.equal(copied.rows, 600);
  } finally {
    await rest.clean(jobId, database);
  }
});
