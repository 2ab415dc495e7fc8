// oxlint-disable-next-line no-control-regex -- finding control characters is the purpose
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Text from outside, with whatever could move a cursor, colour a terminal or forge a line written out. */
export const printable = (text: string): string =>
  text.replace(CONTROL, (character) => JSON.stringify(character).slice(1, -1));
