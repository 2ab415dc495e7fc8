import { request, type IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';

/** What came back. Status 0: no answer at all, `failure` says why. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  readonly failure: string | undefined;
  readonly milliseconds: number;
}

export interface Asked {
  readonly method?: 'GET' | 'POST';
  readonly token?: string | undefined;
  readonly json?: unknown;
  readonly timeoutMs?: number;
  /** Keeps the body back when the head has arrived and the server waits for the rest (RFC 9110 section 10.1.1). */
  readonly hold?: { readonly arrived: () => void; readonly until: Promise<unknown> };
}

/** One request on a connection of its own, so that what one fault did to a connection never touches the next answer. */
export async function send(
  url: string,
  { method, token, json, timeoutMs = 15_000, hold }: Asked = {},
): Promise<Answer> {
  const begun = performance.now();
  const body = json === undefined ? undefined : JSON.stringify(json);
  return await new Promise((resolve) => {
    const finish = (status: number, headers: IncomingHttpHeaders, text: string, failure?: string): void =>
      resolve({ status, headers, body: parsed(text), failure, milliseconds: performance.now() - begun });
    const asking = request(url, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        ...(hold && { expect: '100-continue' }),
        ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
    });
    asking.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () =>
        finish(response.statusCode ?? 0, response.headers, Buffer.concat(chunks).toString('utf8')),
      );
      response.once('error', (error) => finish(0, {}, '', error.message));
    });
    asking.once('error', (error) => finish(0, {}, '', error.message));
    if (!hold) return asking.end(body);
    return asking.once('continue', () => {
      hold.arrived();
      void hold.until.then(() => asking.end(body));
    });
  });
}

/** A login that is under way: its head has arrived. What is returned sends the rest, and has the answer. */
export async function beginLogin(url: string): Promise<() => Promise<Answer>> {
  let release = (): void => undefined;
  const until = new Promise<void>((resolve) => (release = resolve));
  return await new Promise((resolve) => {
    const hold = {
      until,
      arrived: () =>
        resolve(async () => {
          release();
          return await answer;
        }),
    };
    const answer = send(`${url}/auth/login`, { json: administrator, hold });
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export const administrator = { username: 'ada', password: 'winter apple staircase' } as const;

const tokenPair = z.object({ access_token: z.string(), refresh_token: z.string() });
export type TokenPair = z.infer<typeof tokenPair>;
const claims = z.looseObject({ iat: z.number(), exp: z.number(), sid: z.string() });
const header = z.looseObject({ kid: z.string() });
const problem = z.looseObject({ code: z.string(), detail: z.string() });
const readiness = z.object({
  status: z.string(),
  problems: z.array(z.string()),
  signer: z.string().nullable(),
  standby: z.string().nullable(),
  generation: z.number(),
});

export const login = async (url: string): Promise<Answer> => await send(`${url}/auth/login`, { json: administrator });
export const me = async (url: string, token: string): Promise<Answer> => await send(`${url}/auth/me`, { token });
export const refresh = async (url: string, token: string): Promise<Answer> =>
  await send(`${url}/auth/refresh`, { json: { refresh_token: token } });
export const rotate = async (url: string, token: string, body: Readonly<Record<string, unknown>>): Promise<Answer> =>
  await send(`${url}/keys/rotate`, { token, json: body });
export const revoke = async (url: string, token: string, kid: string): Promise<Answer> =>
  await send(`${url}/keys/${kid}/revoke`, { token, json: { reason: 'test' } });
export const jwks = async (url: string): Promise<Answer> => await send(`${url}/.well-known/jwks.json`);
export const live = async (url: string): Promise<Answer> => await send(`${url}/health/live`);

export async function ready(url: string): Promise<z.infer<typeof readiness> & { httpStatus: number }> {
  const { status, body } = await send(`${url}/health/ready`);
  return { ...readiness.parse(body), httpStatus: status };
}

/** A login that must succeed. */
export async function logIn(url: string): Promise<TokenPair> {
  return pairIn(await login(url));
}

export function pairIn(answer: Answer): TokenPair {
  if (answer.status !== 200) throw new Error(`no tokens: ${inWords(answer)}`);
  return tokenPair.parse(answer.body);
}

/** The stable code of a problem; undefined when it is none. */
export const codeIn = ({ body }: Answer): string | undefined => problem.safeParse(body).data?.code;

export const inWords = (answer: Answer): string =>
  `${answer.status} ${answer.failure ?? JSON.stringify(answer.body)?.slice(0, 300)}`;

const segment = (token: string, index: number): unknown =>
  JSON.parse(Buffer.from(token.split('.')[index] ?? '', 'base64url').toString('utf8'));
export const claimsOf = (token: string): z.infer<typeof claims> => claims.parse(segment(token, 1));
export const kidOf = (token: string): string => header.parse(segment(token, 0)).kid;
