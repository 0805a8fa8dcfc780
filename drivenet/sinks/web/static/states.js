// What viewers read for each state of a run.

export const WORDS = { ok: "LIVE", lost: "LOST", stalled: "NO NEW FRAME", failed: "FAILED", suspect: "SUSPECT", degraded: "DEGRADED", starting: "STARTING", connecting: "CONNECTING", reconnecting: "RECONNECTING" };
