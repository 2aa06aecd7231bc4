// Copy now, switch later: from the wizard over READY and a catch-up through the cut-over. Its source is a database of the second
// server, so that rows can be removed there while others use the sample data.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique, uniqueDatabase } from "../harness/test.mjs";
import { demo, removeProducts } from "../harness/service.mjs";
import { CHINESE, ENGLISH, WORK_MILLISECONDS, assertSuccessful, jobOf, targetDatabase } from "../harness/migration.mjs";

const IN_ENGLISH = {
  ...ENGLISH,
  later: /^Copy now, switch later/,
  loadTarget: /leave the target collections loaded/,
  useWay: "Use this way and check again",
  window: "Downtime window",
  goesOn: "The applications may go on writing to the source.",
  notVerified: /^Everything was copied while the source could still change/,
  askCatchUp: "Catch up…",
  catchUp: "Catch up",
  apart: "At the last comparison: 3 rows apart",
  cutOver: "Cut over",
  stopWriters: "Stop all writers of the source.",
  areStopped: "All writers of the source are stopped",
  besides: "What it may do besides",
  startCutOver: "Start the cut-over",
  switched: /downtime window: /,
  left: "What is left to do",
};

const IN_CHINESE = {
  ...CHINESE,
  later: /^先复制，后切换/,
  loadTarget: /保持加载/,
  useWay: "采用此方式并重新检查",
  window: "停机窗口",
  goesOn: "应用可以继续写入源集群。",
  notVerified: /^数据已复制，期间源集群可能仍有写入/,
  askCatchUp: "更新…",
  catchUp: "更新",
  apart: "最近一次比对：相差 3 行",
  cutOver: "切换",
  stopWriters: "停止对源集群的所有写入。",
  areStopped: "已停止对源集群的所有写入",
  besides: "额外允许的操作",
  startCutOver: "开始切换",
  switched: /停机窗口：/,
  left: "后续步骤",
};

/** A project with a source that nobody else uses: its ID, the source's ID and database. */
async function place(rest, t) {
  const project = await rest.newProject(unique("Warm"));
  const sample = await rest.register(project, unique("sample"), demo.source);
  const source = await rest.register(project, unique("live"), demo.target);
  await rest.register(project, unique("new"), demo.target);
  const live = uniqueDatabase("live");
  const job = await rest.migrate(sample, source, ["products"], live);
  t.after(() => rest.clean(job, live));
  await rest.ended(job);
  return { project, source, live };
}

/** From the list of collections to a check of the warm copy. */
async function toWarmCheck(page, words, { live, db, hasScripts, seen }) {
  if (!hasScripts) await page.getByRole("link", { name: "Show the collections" }).click();
  await page.locator(`input[name=collection][value$=" ${live}.products"]`).check();
  await page.getByRole("button", { name: words.chooseTarget }).click();
  await page.getByRole("radio", { name: /^new / }).check();
  await page.getByLabel(words.useOtherNames).check();
  await page.getByLabel(words.becomes).fill(db);
  await page.getByRole("button", { name: words.check }).click();
  await assertSeen(page.getByText(words.fine), WORK_MILLISECONDS);
  await seen();
  await page.getByRole("radio", { name: words.later }).check();
  await page.getByLabel(words.loadTarget).check();
  await page.getByRole("button", { name: words.useWay }).click();
  await assertSeen(page.getByRole("term").getByText(words.window, { exact: true }), WORK_MILLISECONDS);
  await assertSeen(page.getByText(words.fine));
  await seen();
}

/** What READY means, and the way to a catch-up. */
async function catchUp(page, words, seen) {
  const result = page.getByRole("region", { name: words.result, exact: true });
  await assertSeen(result.getByRole("heading", { name: words.ready, exact: true }), WORK_MILLISECONDS);
  await assertSeen(result.getByText(words.notVerified));
  await seen();
  await page.getByText(words.askCatchUp, { exact: true }).click();
  await page.getByRole("button", { name: words.catchUp, exact: true }).click();
  await assertSeen(page.getByText(words.apart), WORK_MILLISECONDS);
  await assertSeen(result.getByRole("heading", { name: words.ready, exact: true }), WORK_MILLISECONDS);
  await seen();
}

async function cutOver(page, words, seen) {
  await page.getByRole("link", { name: words.cutOver, exact: true }).click();
  await assertSeen(page.getByText(words.stopWriters, { exact: true }));
  await seen();
  await page.getByText(words.besides, { exact: true }).click();
  await seen();
  // It asks before it starts.
  const box = page.getByLabel(words.areStopped, { exact: true });
  const address = page.url();
  await page.getByRole("button", { name: words.startCutOver, exact: true }).click();
  assert.equal(await box.evaluate((element) => element.validity.valueMissing), true);
  assert.equal(page.url(), address);
  await box.check();
  await page.getByRole("button", { name: words.startCutOver, exact: true }).click();
}

for (const [words, colorScheme, width, hasScripts] of [
  [IN_ENGLISH, "light", 1280, true],
  [IN_CHINESE, "dark", 375, true],
  [IN_ENGLISH, "dark", 1280, false],
]) {
  const look = { locale: words.locale, colorScheme, width, javaScriptEnabled: hasScripts };
  const name = `copy now, switch later: ${words.locale}, ${width}${hasScripts ? "" : ", without scripts"}`;
  inBrowser(name, look, async ({ page, rest, t }) => {
    const seen = async () => { if (hasScripts) await assertUsable(page); };
    const { project, source, live } = await place(rest, t);
    const { db, isWrittenBy } = targetDatabase(rest, t);
    await open(page, `/p/${project}/migrations/new?source=${source}`);
    await toWarmCheck(page, words, { live, db, hasScripts, seen });
    await page.getByRole("link", { name: words.review, exact: true }).click();
    await assertSeen(page.getByText(words.goesOn, { exact: true }));
    await seen();
    await page.getByRole("button", { name: words.start }).click();
    const job = await jobOf(page);
    isWrittenBy(job);
    await rest.ended(job, "READY");
    await removeProducts(live, [1, 2, 3]);
    await catchUp(page, words, seen);
    await removeProducts(live, [4]);
    await cutOver(page, words, seen);
    await assertSuccessful(page, words);
    await assertSeen(page.getByText(words.switched));
    await seen();
    await open(page, `/p/${project}/migrations/${job}/cut-over`);
    await assertSeen(page.getByRole("heading", { name: words.left, exact: true }));
    await seen();
    assert.equal((await rest.get(`/v2/jobs/${job}`)).status, "SUCCESSFUL");
  });
}
