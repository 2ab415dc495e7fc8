// oxlint-disable-next-line no-control-regex -- finding control characters is the purpose
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** As JSON writes it; JSON leaves DEL, C1 (of which U+009B begins a terminal's commands) and line separators as they are. */
const written = (character: string): string =>
  character < ' '
    ? JSON.stringify(character).slice(1, -1)
    : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text from outside, with whatever could move a cursor, colour a terminal or forge a line written out. */
export const printable = (text: string): string => text.replace(CONTROL, written);
