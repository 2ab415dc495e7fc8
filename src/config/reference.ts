import { SETTINGS, type Setting } from './settings.js';

/** Between these two lines docs/configuration.md belongs to this file. */
const BEGIN = '<!-- settings: made by `npm run docs:settings` from src/config/settings.ts -->';
const END = '<!-- settings: end -->';

const all = Object.entries<Setting>(SETTINGS);

/** What a value may be, in the words with which a wrong one is refused. A NUL is wrong wherever anything can be. */
function allowed({ type }: Setting): string {
  const refusal = type.safeParse('\0').error?.issues[0]?.message ?? 'text';
  return refusal.replace(/^must (be|begin with) /, '').replace(/^(a length of time) such as .* or [^,]+/, '$1');
}

const cell = (text: string): string => text.replaceAll('|', '\\|');
const code = (text: string): string => `\`${text}\``;

/** Every setting as a Markdown table. */
export function settingsTable(): string {
  const rows = all.map(([name, setting]) => [
    code(name),
    setting.fallback === undefined ? '' : code(setting.fallback),
    `${setting.about}${setting.secret ? ' **Secret**: never shown in a message.' : ''}`,
    allowed(setting),
  ]);
  const lines = [['setting', 'default', 'what it is', 'a value is'], ['---', '---', '---', '---'], ...rows];
  return lines.map((cells) => `| ${cells.map(cell).join(' | ')} |`).join('\n');
}

/**
 * The document with its table made anew.
 * @throws Error when the document lacks the lines between which it goes
 */
export function withSettingsTable(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the document lacks the lines ${BEGIN} and ${END}`);
  // Prettier would pad every cell to the longest sentence.
  const table = `<!-- prettier-ignore-start -->\n${settingsTable()}\n<!-- prettier-ignore-end -->`;
  return `${document.slice(0, begin)}${BEGIN}\n\n${table}\n\n${document.slice(end)}`;
}

/** An environment file with every setting in it, commented out. */
export function environmentExample(): string {
  const entries = all.map(([name, { about, fallback }]) => `${comment(about)}\n#${name}=${fallback ?? ''}\n`);
  return `${comment(INTRODUCTION)}\n\n${entries.join('\n')}`;
}

const INTRODUCTION =
  'Every setting with its default, made by `npm run docs:settings` from src/config/settings.ts. Keyturn reads environment ' +
  'variables, not files. To use a file: copy this one to .env, uncomment what you change, and start with ' +
  '`node --env-file=.env dist/src/main.js`. An empty value counts as unset.';

const WIDTH = 100;

function comment(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`# ${word}`);
  }
  return lines.join('\n');
}
