// One request out, one bounded answer in.

/** A request, complete. */
export interface Request {
  method: string;
  url: string;
  /** Names and values in turn. */
  headers: string[];
  body: string | undefined;
  maxAnswerBytes: number;
  timeoutMs: number;
}

/** An answer, with whatever status. */
export interface Answer {
  status: number;
  body: string | undefined;
  retryAfter: string | undefined;
  /** Milliseconds since 1970; -1: it says none. */
  date: number;
}

/** The answer is larger than allowed. */
export class TooLarge extends Error {}

/** The longest that a timer can count. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Makes a request. Redirects are not followed: a script does not see where they lead, and a token must not go there.
 */
export async function perform(fetch: typeof globalThis.fetch, request: Request, abort: AbortController): Promise<Answer> {
  const headers: [string, string][] = [['accept', 'application/json']];
  if (request.body !== undefined) headers.push(['content-type', 'application/json']);
  for (let at = 0; at + 1 < request.headers.length; at += 2) {
    headers.push([request.headers[at] as string, request.headers[at + 1] as string]);
  }
  const timer = setTimeout(() => abort.abort(), Math.min(request.timeoutMs, LONGEST_TIMER_MS));
  try {
    const response = await fetch(request.url, {
      method: request.method,
      headers,
      body: request.body ?? null,
      redirect: 'error',
      cache: 'no-store',
      signal: abort.signal,
    });
    const date = Date.parse(response.headers.get('date') ?? '');
    return {
      status: response.status,
      body: (await read(response, request.maxAnswerBytes)) || undefined,
      retryAfter: response.headers.get('retry-after') ?? undefined,
      date: Number.isNaN(date) ? -1 : date,
    };
  } finally {
    clearTimeout(timer);
  }
}

/** What went wrong, without a URL: `fetch` quotes it in some messages. */
export function describe(error: unknown): string {
  const cause = (error as { cause?: { code?: unknown } } | undefined)?.cause?.code;
  if (typeof cause === 'string') return cause;
  return error instanceof Error ? error.name : 'an error';
}

async function read(response: Response, maxBytes: number): Promise<string> {
  if (Number(response.headers.get('content-length')) > maxBytes) {
    void response.body?.cancel().catch(() => {});
    throw new TooLarge();
  }
  if (!response.body) return '';
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      void reader.cancel().catch(() => {});
      throw new TooLarge();
    }
    text += decoder.decode(value, { stream: true });
  }
}
