import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Prints the story for a person: coloured on a terminal, unless NO_COLOR asks for none. */
export class Screen {
  private readonly coloured: boolean;
  private chapters = 0;

  constructor(
    private readonly out: NodeJS.WritableStream & { readonly isTTY?: boolean },
    environment: Readonly<Record<string, string | undefined>>,
  ) {
    // https://no-color.org: present and not empty.
    this.coloured = out.isTTY === true && !environment['NO_COLOR'];
  }

  chapter(title: string): void {
    this.chapters++;
    this.line(`\n${this.styled('bold', `${this.chapters}. ${title}`)}`);
  }

  say(text: string): void {
    this.line(`\n   ${text}`);
  }

  sent(text: string): void {
    this.line(`   ${this.styled('cyan', `→ ${text}`)}`);
  }

  answered(text: string, good: boolean): void {
    this.line(`   ${this.styled(good ? 'green' : 'yellow', `← ${text}`)}`);
  }

  detail(text: string): void {
    this.line(`     ${this.styled('dim', text)}`);
  }

  /** Something expected that was looked at and found. */
  found(text: string): void {
    this.line(`   ${this.styled('green', '✓')} ${text}`);
  }

  line(text: string): void {
    this.out.write(`${text}\n`);
  }

  end(text: string, good: boolean): void {
    this.line(`\n${this.styled(good ? 'green' : 'red', `${good ? '✓' : '✗'} ${text}`)}`);
  }

  private styled(style: Style, text: string): string {
    return this.coloured ? styleText(style, text) : text;
  }
}
