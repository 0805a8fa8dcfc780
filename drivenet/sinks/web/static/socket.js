// The WebSocket: unpacks pictures, keeps the server's clock, and reconnects for as long as the page is open.

const CLOCK_EVERY_MS = 3000;
const SILENT_MS = 4000;
const RETRY_MS = [300, 600, 1200, 2000];

export class Live {
  constructor(handlers) {
    this.handlers = handlers;
    this.tries = 0;
    this.offset = null;
    this.open = false;
    this.paused = false;
    setInterval(() => this.askTime(), CLOCK_EVERY_MS);
    setInterval(() => this.checkSilence(), 1000);
    this.connect();
  }

  connect() {
    const url = new URL("live", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    this.best = Infinity;
    this.shown = 0;
    socket.onopen = () => { this.tries = 0; this.open = true; this.askTime(); if (this.paused) this.send("pause"); };
    socket.onmessage = (event) => { if (socket === this.socket) this.receive(event.data); };
    socket.onclose = () => { if (socket === this.socket) this.lose(); };
  }

  lose() {
    this.open = false;
    this.handlers.closed();
    setTimeout(() => this.connect(), RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
  }

  // A network that is gone closes nothing: figures come twice a second, so silence means the same.
  checkSilence() {
    if (this.open && performance.now() - this.heard > SILENT_MS) {
      const old = this.socket;
      this.socket = null;
      old.close();
      this.lose();
    }
  }

  send(text) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  pause(paused) {
    if (paused === this.paused) return;
    this.paused = paused;
    this.send(paused ? "pause" : "resume");
  }

  askTime() { this.send(`time ${performance.now()}`); }

  // The server's clock now, in ms: from the question that was answered soonest, so the network's share is small.
  now() { return this.offset === null ? null : performance.now() + this.offset; }

  learnTime(message) {
    const now = performance.now();
    const trip = now - Number(message.yours);
    this.best = this.best * 1.1 + 0.1;
    if (trip <= this.best) {
      this.best = trip;
      this.offset = message.server_ms - (now - trip / 2);
    }
  }

  receive(data) {
    this.heard = performance.now();
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "time") this.learnTime(message);
      else this.handlers[message.type](message);
      return;
    }
    this.unpack(data, this.socket);
  }

  // What is unpacked only after the connection was lost is of another run, whose numbers are others.
  async unpack(data, socket) {
    try {
      const shot = await unpacked(data);
      if (socket === this.socket) await this.show(shot);
      else shot.image.close();
    } finally {
      if (socket === this.socket) this.send("drawn");
    }
  }

  // Two pictures may be unpacked at once: the older one is not shown after the newer.
  async show(shot) {
    if (shot.seq < this.shown) { shot.image.close(); return; }
    this.shown = shot.seq;
    await this.handlers.frame(shot);
  }
}

async function unpacked(data) {
  const headLength = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, headLength)));
  const jpeg = new Blob([new Uint8Array(data, 4 + headLength, head.jpeg)], { type: "image/jpeg" });
  const packed = new Uint8Array(data, 4 + headLength + head.jpeg);
  const [image, maps] = await Promise.all([createImageBitmap(jpeg), inflate(packed)]);
  const pixels = head.map[0] * head.map[1];
  return { ...head, image, ids: maps.subarray(0, pixels), instances: maps.subarray(pixels) };
}

async function inflate(packed) {
  const inflater = new DecompressionStream("deflate");
  const writer = inflater.writable.getWriter();
  const [ids] = await Promise.all([new Response(inflater.readable).arrayBuffer(), writer.write(packed), writer.close()]);
  return new Uint8Array(ids);
}
