import { codeIn, login, me, type Answer } from './client.js';

export interface Seen {
  readonly what: 'guarded' | 'login';
  readonly answer: Answer;
}

/** Light load that does not wait for answers: what a fault delays is seen as late, not as absent. */
export class Load {
  private readonly seen: Seen[] = [];
  private readonly asked: Promise<void>[] = [];
  private readonly timers: NodeJS.Timeout[];

  /** @param token of a warm session */
  constructor(url: string, token: string) {
    this.timers = [
      setInterval(() => this.asked.push(this.record('guarded', me(url, token))), 50),
      setInterval(() => this.asked.push(this.record('login', login(url))), 400),
    ];
  }

  async stop(): Promise<readonly Seen[]> {
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all(this.asked);
    return this.seen;
  }

  private async record(what: Seen['what'], asked: Promise<Answer>): Promise<void> {
    this.seen.push({ what, answer: await asked });
  }
}

/** Such as `200`, `503 database_unavailable`, or `0 socket hang up`. */
export const kindOf = (answer: Answer): string =>
  [answer.status, codeIn(answer) ?? answer.failure].filter(Boolean).join(' ');

/** Which answers came. */
export const kindsOf = (seen: readonly Seen[], what: Seen['what']): string[] =>
  [...new Set(seen.filter((one) => one.what === what).map(({ answer }) => kindOf(answer)))].toSorted();

/** For people who watch: how many of what, and how long they took. */
export function summary(title: string, seen: readonly Seen[]): void {
  const groups = new Map<string, number[]>();
  for (const { what, answer } of seen) {
    const kind = `${what} ${kindOf(answer)}`;
    groups.set(kind, [...(groups.get(kind) ?? []), answer.milliseconds]);
  }
  const lines = [...groups].map(([kind, times]) => `    ${kind}: ${distribution(times)}`);
  say(`${title}\n${lines.toSorted().join('\n')}`);
}

export function distribution(milliseconds: readonly number[]): string {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  const at = (share: number): string => `${Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0)} ms`;
  return `${sorted.length} times, median ${at(0.5)}, 95 % ${at(0.95)}, most ${at(1)}`;
}

export const say = (text: string): void => void process.stderr.write(`  ${text}\n`);
