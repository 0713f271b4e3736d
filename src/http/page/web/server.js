// Requests to the server that this page comes from. User and password are kept in this module, and nowhere else.

let authorization = null;

/** Why a request has failed: `status` of HTTP, 0 if no answer came. */
export class Fault extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function signIn(user, password) {
  const pair = new TextEncoder().encode(`${user}:${password}`);
  authorization = `Basic ${btoa(String.fromCharCode(...pair))}`;
}

export function signOut() {
  authorization = null;
}

export function isSignedIn() {
  return authorization !== null;
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (authorization) headers.Authorization = authorization;
  let response;
  try {
    // Without credentials of its own the browser asks for none either: the page has its form.
    response = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault(0, "the server does not answer");
  }
  if (!response.ok) throw new Fault(response.status, await reasonOf(response));
  return response;
}

async function reasonOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).message || text;
  } catch {
    return text || `HTTP ${response.status}`;
  }
}

/** The answer of a question. `params` go into the query string. */
export async function ask(what, params = {}) {
  const query = new URLSearchParams(params).toString();
  const response = await send(`/api/v2/${what}${query && `?${query}`}`);
  return response.json();
}

/** The answer to an order. */
export async function order(what, body) {
  const response = await send(`/api/v2/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

/**
 * Calls `took(name, data)` for each event until the stream ends. `EventSource` could not send a login, so the events are
 * read here: lines `event: name` and `data: {…}`, an empty line after each event.
 */
export async function listen(took, signal) {
  const response = await send("/api/v2/events", { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const member = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim()).join("\n");
      if (member("data")) took(member("event"), JSON.parse(member("data")));
    }
  }
}
