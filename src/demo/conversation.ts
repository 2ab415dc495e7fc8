import { STATUS_CODES } from 'node:http';
import { headerOf } from './answers.js';
import { NotAsTold } from './expectation.js';
import type { Screen } from './screen.js';
import { bodyForEyes, tokenForEyes } from './shortened.js';

export interface Question {
  readonly token?: string;
  readonly body?: object;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** What in an answer's headers belongs to the story. */
const TELLING = ['www-authenticate', 'cache-control', 'etag'];

/** Talks HTTP with one server, and shows what is sent and what is answered. */
export class Conversation {
  constructor(
    private readonly url: string,
    private readonly screen: Screen,
    private readonly signal: AbortSignal,
  ) {}

  /**
   * Asks, shows, and insists on the status that the story tells.
   * @throws NotAsTold when another status is answered
   */
  async ask(expected: number, method: 'GET' | 'POST', path: string, question: Question = {}): Promise<Answer> {
    this.showQuestion(method, path, question);
    const answer = await this.send(method, path, question);
    this.showAnswer(answer);
    if (answer.status !== expected) {
      throw new NotAsTold(`Not as told: ${method} ${path} should answer ${expected}, and answered ${answer.status}.`);
    }
    return answer;
  }

  private async send(method: string, path: string, { token, body }: Question): Promise<Answer> {
    try {
      const response = await fetch(`${this.url}${path}`, {
        method,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body && { 'content-type': 'application/json' }),
        },
        signal: AbortSignal.any([this.signal, AbortSignal.timeout(20_000)]),
        ...(body && { body: JSON.stringify(body) }),
      });
      return { status: response.status, headers: response.headers, body: await response.json() };
    } catch (error) {
      this.signal.throwIfAborted();
      throw new NotAsTold(`Not as told: ${method} ${path} got no answer that can be read.`, { cause: error });
    }
  }

  private showQuestion(method: string, path: string, { token, body }: Question): void {
    this.screen.sent(`${method} ${path}`);
    if (token !== undefined)
      this.screen.detail(`authorization: Bearer ${tokenForEyes(token)} (kid ${headerOf(token).kid})`);
    if (body) this.screen.detail(bodyForEyes(body));
  }

  private showAnswer({ status, headers, body }: Answer): void {
    this.screen.answered(`${status} ${STATUS_CODES[status] ?? ''}`.trimEnd(), status < 400);
    for (const name of TELLING) {
      const value = headers.get(name);
      if (value !== null) this.screen.detail(`${name}: ${value}`);
    }
    this.screen.detail(bodyForEyes(body));
  }
}
