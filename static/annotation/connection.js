// The server, over a connection that comes and goes.

const RETRY_MS = [500, 1000, 2000, 4000, 8000];
const PATIENCE_MS = 30_000;

/** Not from a gateway, a network's log-in page, or a server that wants to be left alone. */
function isFromServer({ status, headers }) {
  const isJson = headers.get("Content-Type")?.includes("json");
  return status < 500 && status !== 429 && (isJson || status === 204);
}

/** The server's page for what it does not know: nothing is behind this link, now or later. */
function saysUnknown({ status, headers }) {
  return status === 404 && Boolean(headers.get("Content-Type")?.includes("html"));
}

export class Connection {
  /** onChange is called when the connection breaks and when it works again; `isUp` tells which. */
  constructor(address, onChange) {
    this.address = address;
    this.onChange = onChange;
    this.isUp = true;
    this.isLinkKnown = true; // as the server said last
    window.addEventListener("offline", () => this.tell(false));
    window.addEventListener("online", () => this.tell(true));
  }

  tell(isUp) {
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    this.onChange();
  }

  /** Sends once; returns [status, body], [404, null] of an unknown link, or null without an answer. */
  async post(path, body) {
    try {
      const response = await fetch(this.address + path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const isUnknown = saysUnknown(response);
      if (isUnknown || isFromServer(response)) {
        const isEmpty = isUnknown || response.status === 204;
        const answer = [response.status, isEmpty ? null : await response.json()];
        this.isLinkKnown = !isUnknown;
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
