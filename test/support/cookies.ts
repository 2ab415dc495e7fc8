import type { Answer } from './test-app.js';

/** What a browser keeps of `Set-Cookie`, as far as one host needs it. */
export class Cookies {
  private readonly kept = new Map<string, string>();

  keep({ headers }: Pick<Answer, 'headers'>): void {
    for (const line of headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/; Max-Age=0(;|$)/.test(line)) this.kept.delete(name);
      else this.kept.set(name, value);
    }
  }

  value = (name: string): string | undefined => this.kept.get(name);
  drop = (name: string): boolean => this.kept.delete(name);
  all = (): Record<string, string> => Object.fromEntries(this.kept);

  /** The header to send; none without cookies. */
  header(): { cookie?: string } {
    const pairs = [...this.kept].map((pair) => pair.join('='));
    return pairs.length === 0 ? {} : { cookie: pairs.join('; ') };
  }
}
