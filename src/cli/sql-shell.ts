import { createInterface, type Interface } from 'node:readline';
import pg from 'pg';
import { CommandError } from './command-error.js';
import { answerText, ask, complaintText, type Look } from './sql-answer.js';
import { HISTORY_SIZE, readHistory, writeHistory } from './sql-history.js';
import { description, listing } from './sql-listing.js';
import { splitSql } from './sql-statements.js';

/** Where a shell reads and writes. */
export interface ShellPlace {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  readonly errors: NodeJS.WritableStream;
  /** A person types: prompts, editing, history, Ctrl-C. */
  readonly terminal: boolean;
  /** Where lines typed at a terminal are kept. */
  readonly historyFile: string;
  /** Rows as data instead of tables. */
  readonly json: boolean;
}

/** Rows shown of one answer, and characters of one cell. */
const MOST_ROWS = 500;
const WIDEST_CELL = 60;

const HELP = String.raw`Statements of SQL, over as many lines as you like; a semicolon sends them.
  \d        what you may read, with comments
  \d NAME   columns of one, with comments
  \x        one line a column, nothing cut; again: back to tables
  \?        this help
  \q        the end, as Ctrl-D
  Ctrl-C    cancels the statement under way, or forgets what is typed`;

/** A person, or a file, talks to the database. */
export class SqlShell {
  private typed = '';
  private look: Look = { widest: WIDEST_CELL, expanded: false };
  private running = false;
  private failed = false;
  private ended = false;

  /**
   * @param cancel ends the statement that `client` runs
   * @param role stands in the prompt
   */
  constructor(
    private readonly client: pg.Client,
    private readonly cancel: () => Promise<void>,
    private readonly role: string,
    private readonly place: ShellPlace,
  ) {}

  /** Reads to the end. False when a statement failed that was not typed by a person, who has seen it. */
  async run(): Promise<boolean> {
    const { input, output, terminal } = this.place;
    let history = terminal ? readHistory(this.place.historyFile) : [];
    const lines = createInterface({
      input,
      ...(terminal && { output, history, historySize: HISTORY_SIZE, removeHistoryDuplicates: true }),
      terminal,
    });
    lines.on('history', (all: string[]) => (history = [...all]));
    lines.on('SIGINT', () => this.interrupt(lines));
    try {
      this.prompt(lines);
      for await (const line of lines) {
        await this.read(line);
        if (this.ended) break;
        this.prompt(lines);
      }
      if (!this.ended && this.typed.trim() !== '') await this.send(this.typed);
    } finally {
      lines.close();
      if (terminal) {
        output.write('\n');
        if (!writeHistory(this.place.historyFile, history))
          this.complain(`${this.place.historyFile} cannot be written.`);
      }
    }
    return terminal || !this.failed;
  }

  private prompt(lines: Interface): void {
    if (!this.place.terminal) return;
    lines.setPrompt(this.typed === '' ? `${this.role}=> ` : `${this.role}-> `);
    lines.prompt();
  }

  private async read(line: string): Promise<void> {
    if (this.typed === '') {
      const [, command, argument = ''] = /^\s*(\\\S*|(?:quit|exit|help)(?=\s*;?\s*$))\s*(.*?)[\s;]*$/.exec(line) ?? [];
      if (command !== undefined) return this.obey(command, argument);
    }
    const { statements, rest } = splitSql(`${this.typed}${line}\n`);
    this.typed = rest;
    for (const statement of statements) await this.send(statement);
  }

  private async obey(command: string, argument: string): Promise<void> {
    switch (command) {
      case '\\q':
      case 'quit':
      case 'exit':
        this.ended = true;
        return;
      case '\\?':
      case 'help':
        return this.say(HELP);
      case '\\x':
        this.look = { ...this.look, expanded: !this.look.expanded };
        return this.say(this.look.expanded ? 'One line a column.' : 'One line a row.');
      case '\\d':
        return this.attempt(async () =>
          this.say(await (argument === '' ? listing(this.client) : description(this.client, argument))),
        );
      default:
        this.failed = true;
        return this.complain(`There is no ${JSON.stringify(command)}. \\? shows what there is.`);
    }
  }

  private async send(statement: string): Promise<void> {
    await this.attempt(async () => {
      if (this.place.json) {
        const { rows } = await this.client.query<Record<string, unknown>>(statement);
        this.say(JSON.stringify(rows, null, 2));
      } else {
        this.say(answerText(await ask(this.client, statement, MOST_ROWS), this.look));
      }
    });
  }

  /** What Postgres refuses is shown and does not end the shell. @throws CommandError when the connection is gone */
  private async attempt(work: () => Promise<void>): Promise<void> {
    this.running = true;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (!(error instanceof pg.DatabaseError) || error.severity === 'FATAL')
        throw new CommandError('database_unavailable', `The connection to Postgres is lost: ${error.message}`);
      this.failed = true;
      this.complain(complaintText(error));
    } finally {
      this.running = false;
    }
  }

  private interrupt(lines: Interface): void {
    if (this.running) {
      this.cancel().catch((error: unknown) => {
        this.complain(`The statement cannot be cancelled: ${error instanceof Error ? error.message : 'unknown error'}`);
      });
      return;
    }
    this.typed = '';
    this.say('^C');
    // What was typed of this line is forgotten too.
    lines.write(null, { ctrl: true, name: 'u' });
    this.prompt(lines);
  }

  private say(text: string): void {
    this.place.output.write(`${text}\n`);
  }

  private complain(text: string): void {
    this.place.errors.write(`${text}\n`);
  }
}
