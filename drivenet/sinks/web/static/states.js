// What viewers read for each state of a run.

export const WORDS = { ok: "LIVE", lost: "LOST", stalled: "STALLED", ended: "ENDED", failed: "FAILED", suspect: "SUSPECT", degraded: "DEGRADED", starting: "STARTING", connecting: "CONNECTING", reconnecting: "RECONNECTING" };
