// The service under test, over its REST API: for what a test needs before it opens a page.

export const PASSWORD = "correct horse battery staple";
export const OWNER = "owner@localhost";
/** `http://127.0.0.1:PORT` */
export const url = process.env.VECFERRY_URL;

/** The two Milvus servers of the demonstration, which are registered as `demo-source` and `demo-target`. */
export const demo = {
  source: process.env.VECFERRY_SOURCE,
  target: process.env.VECFERRY_TARGET,
  credential: process.env.VECFERRY_CREDENTIAL,
};

const COOKIE = "vecferry_session";
const REQUEST_MILLISECONDS_MAX = 60_000;
/** A job that is ready waits for its cut-over. */
const ENDS = ["READY", "SUCCESSFUL", "FAILED", "CANCELED"];

/** Asks a server's own HTTP API, which refuses with a code that is not 200. */
export async function milvus(address, path, body) {
  const answer = await fetch(`${address}/v1/vector/${path}`, {
    method: body ? "POST" : "GET",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${demo.credential}` },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  return answer.json();
}

/** The ID of the first row of `products`. */
const FIRST_PRODUCT = 100_000;

/** Removes rows of `products`, by their numbers, in a database of the second server, as an application does. */
export async function removeProducts(dbName, rows) {
  const id = rows.map((row) => FIRST_PRODUCT + row);
  const told = await milvus(demo.target, "delete", { dbName, collectionName: "products", id });
  if (told.code !== 200) throw new Error(JSON.stringify(told));
}

/** Somebody who makes requests. Without a session it is nobody. */
export class Rest {
  constructor(session = undefined, at = url) {
    this.session = session;
    this.url = at;
  }

  /** With the token of a one-time link; `at` is the address of a service of one's own. */
  static async signInByLink(token, at = url) {
    return begun(await new Rest(undefined, at).answer("POST", "/v2/session/link", { token }), at);
  }

  static async signIn(email = OWNER, password = PASSWORD) {
    return begun(await new Rest().answer("POST", "/v2/session", { email, password }), url);
  }

  /** The answer as it is. */
  async answer(method, path, body) {
    const headers = { "Content-Type": "application/json" };
    if (this.session) {
      headers.Cookie = `${COOKIE}=${this.session.secret}`;
      headers["X-CSRF-Token"] = this.session.csrf;
    }
    return fetch(this.url + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_MILLISECONDS_MAX),
    });
  }

  /** The answer of the console, for what only it has; with fields a form is sent. A redirect is not followed. */
  async visit(path, fields = undefined) {
    const body = fields && new URLSearchParams([["csrf", this.session.csrf], ...fields]);
    const answer = await fetch(this.url + path, {
      method: fields ? "POST" : "GET",
      headers: { Cookie: `${COOKIE}=${this.session.secret}`, Accept: "text/html" },
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(REQUEST_MILLISECONDS_MAX),
    });
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status}`);
    return answer;
  }

  /** What an answer brings; a refusal is thrown. */
  async ask(method, path, body) {
    const answer = await this.answer(method, path, body);
    const told = await answer.json();
    if (told.code !== 0) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(told)}`);
    return told.data;
  }

  get(path) {
    return this.ask("GET", path);
  }

  post(path, body = {}) {
    return this.ask("POST", path, body);
  }

  put(path, body = {}) {
    return this.ask("PUT", path, body);
  }

  patch(path, body = {}) {
    return this.ask("PATCH", path, body);
  }

  delete(path) {
    return this.ask("DELETE", path);
  }

  /** The cookie that makes a browser this somebody. */
  cookie() {
    return { name: COOKIE, value: this.session.secret, url: this.url, httpOnly: true, sameSite: "Strict" };
  }

  /** The ID of the organization. */
  async organization() {
    return (await this.get("/v2/session")).organizationId;
  }

  /** The ID of the first project, with the clusters of the demonstration. */
  async firstProject() {
    return (await this.get("/v2/projects"))[0].projectId;
  }

  /** A new project, so that a test sees nothing of the others: its ID. */
  async newProject(name) {
    return (await this.post("/v2/projects", { projectName: name })).projectId;
  }

  /** The ID of a registered cluster of a project. */
  async cluster(name, projectId) {
    const { clusters } = await this.get(`/v2/clusters?projectId=${projectId}&pageSize=100`);
    const found = clusters.find((cluster) => cluster.clusterName === name);
    if (!found) throw new Error(`no cluster ${name} in ${JSON.stringify(clusters)}`);
    return found.clusterId;
  }

  /** Registers a server of the demonstration in a project, as one of its plan or of another: the ID of the cluster. */
  async register(projectId, name, connectAddress = demo.source, deploymentOption = undefined) {
    const body = { projectId, clusterName: name, connectAddress, token: demo.credential, deploymentOption };
    return (await this.post("/v2/clusters", body)).clusterId;
  }

  /** Somebody new: their ID, and the token of the one-time link with which they sign in. */
  async invite(email, name, organizationRole = "member") {
    return this.post("/v2/users", { email, name, organizationRole });
  }

  /** Migrates collections of a database into another one: the ID of the job. */
  async migrate(source, target, collections, destDbName, options = {}, dbName = "default") {
    const named = collections.map((collectionName) => ({ collectionName }));
    const { jobId } = await this.post("/v2/migrations/toExisting", {
      source: { clusterId: source },
      destination: { clusterId: target },
      dbCollections: [{ dbName, destDbName, collections: named }],
      options,
    });
    return jobId;
  }

  /** The job when it is over, which it must be with this status. */
  async ended(jobId, status = "SUCCESSFUL") {
    const job = await this.until(`/v2/jobs/${jobId}`, (seen) => ENDS.includes(seen.status));
    if (job.status !== status) throw new Error(`${jobId} is ${JSON.stringify(job)}`);
    return job;
  }

  /** Removes what a job created on its target, whatever became of the job. */
  async clean(jobId, destDbName) {
    const { targetClusterId } = await this.get(`/v2/jobs/${jobId}`);
    await this.post(`/v2/jobs/${jobId}/cancel`, { clean: true, confirm: jobId });
    const isGone = ({ collections }) => collections.every(({ dbName }) => dbName !== destDbName);
    await this.until(`/v2/clusters/${targetClusterId}/collections`, isGone);
  }

  /** Asks until the answer is what is waited for. */
  async until(path, isThere, milliseconds = 120_000) {
    const end = Date.now() + milliseconds;
    for (;;) {
      const seen = await this.get(path);
      if (isThere(seen)) return seen;
      if (Date.now() > end) throw new Error(`${path} is still ${JSON.stringify(seen)}`);
      await new Promise((done) => setTimeout(done, 200));
    }
  }
}

async function begun(answer, at) {
  const told = await answer.json();
  if (told.code !== 0) throw new Error(`not signed in: ${answer.status} ${JSON.stringify(told)}`);
  const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0]);
  const secret = cookies.find((cookie) => cookie.startsWith(`${COOKIE}=`)).slice(COOKIE.length + 1);
  return new Rest({ secret, csrf: told.data.csrfToken }, at);
}
