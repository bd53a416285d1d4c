// Requests to the server: records as JSON, and questions whose answers arrive as events. In a bundle there is no
// server: its records lie in scripts beside the page.
export const bundle = globalThis.inverseBundle ?? null;

export class Failure extends Error {
  constructor(said) {
    super(said.problem);
    this.said = said;
  }
}
const lost = () => new Failure({ problem: "the viewer does not answer", remedy: "start `inversescope view` again, and open the address that it prints" });

export async function getRecords(path) {
  if (bundle) return bundledRecords(path);
  const reply = await fetch(path).catch(() => { throw lost(); });
  return read(reply);
}

async function read(reply) {
  const text = await reply.text();
  let said = null;
  try { said = JSON.parse(text); } catch { /* a refusal in words */ }
  if (!reply.ok) throw new Failure(said ?? { problem: text.slice(0, 300) });
  return said;
}

function bundledRecords(path) {
  if (bundle.records[path]) return bundle.records[path];
  const name = bundle.names[path];
  if (!name) throw new Failure({ problem: "this is not part of the bundle", given: path, remedy: "`inversescope view RUN` shows everything of a run" });
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onload = () => resolve(bundle.records[path]);
    script.onerror = () => reject(new Failure({ problem: "a file of this bundle is missing", given: `data/${name}.js` }));
    document.head.append(script);
  });
}

export async function sendVector(file, select) {
  const query = new URLSearchParams({ name: file.name, select });
  const reply = await fetch(`/api/vector?${query}`, { method: "POST", body: await file.arrayBuffer() }).catch(() => { throw lost(); });
  return read(reply);
}

// Events of a question. To leave the loop, or to abort by `signal`, cancels the work.
export async function* askServer(path, question, signal) {
  const body = JSON.stringify(Object.fromEntries(Object.entries(question).filter(([, value]) => value !== null && value !== undefined && value !== "")));
  const reply = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body, signal })
    .catch((error) => { throw signal?.aborted ? error : lost(); });
  if (!reply.ok) await read(reply);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const event = JSON.parse(part.slice("data: ".length));
        if (event.event === "error") throw new Failure(event);
        yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
