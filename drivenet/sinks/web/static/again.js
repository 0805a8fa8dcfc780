// A node that was started again may ask for another token, or have other sources: then the page is loaded anew.

const SILENT_MS = 4000;

function ask(url) {
  return fetch(url, { signal: AbortSignal.timeout(SILENT_MS) }).catch(() => null);
}

// Only where there is a page to load: a proxy whose node is gone may say 404, and this page waits for it to come back.
export async function reopenIfOther(path, isOurs) {
  const answer = await ask(path);
  if (!answer) return;
  const told = answer.ok ? await answer.json().catch(() => null) : null;
  if (answer.ok ? !told || isOurs(told) : ![401, 404].includes(answer.status)) return;
  const page = await ask(location.href);
  if (page && (page.ok || page.status === 401)) location.reload();
}
