// The server, over a connection that comes and goes.

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const PATIENCE_MS = 30_000;

/** Not from a gateway, a network's log-in page, or a server that wants to be left alone. */
function isFromServer({ status, headers }) {
  const isJson = headers.get("Content-Type")?.includes("json");
  return status < 500 && status !== 429 && (isJson || status === 204);
}

export class Connection {
  /** onChange is called when the connection breaks and when it works again; `isUp` tells which. */
  constructor(address, onChange) {
    this.address = address;
    this.onChange = onChange;
    this.isUp = true;
    window.addEventListener("offline", () => this.tell(false));
    window.addEventListener("online", () => this.tell(true));
  }

  tell(isUp) {
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    this.onChange();
  }

  /** Sends once; returns [status, body], or null without an answer. */
  async post(path, body) {
    try {
      const response = await fetch(this.address + path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (isFromServer(response)) {
        const answer = [response.status, response.status === 204 ? null : await response.json()];
        this.tell(true);
        return answer;
      }
    } catch {
      // No connection.
    }
    this.tell(false);
    return null;
  }

  /** Sends until the server answers. */
  async send(path, body) {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.post(path, body);
      if (answer) return answer;
      await this.pause(attempt);
    }
  }

  /** Resolves when it is worth trying again: at once when the browser is back online. */
  pause(attempt) {
    const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
    return new Promise((resolve) => {
      setTimeout(resolve, wait);
      window.addEventListener("online", resolve, { once: true });
    });
  }
}
