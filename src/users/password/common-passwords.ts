import { addsLittle, readings, reversed, withoutWords } from './guessable-parts.js';

/**
 * Base words and phrases from which most common passwords of any length are stretched. This is a stand-in for a real list
 * of common and breached passwords, which ships with the package once chosen: `isCommonPassword` then looks there too.
 */
const COMMON_BASES = new Set(
  `
  password passwort qwerty letmein welcome admin administrator login secret access changeme default master root
  test guest user service system computer internet server database company business office manager dragon baseball
  football monkey shadow mustang michael superman killer jordan jennifer hunter buster soccer harley batman andrew
  tigger sunshine iloveyou charlie robert thomas hockey ranger daniel starwars george michelle jessica pepper
  freedom maggie ginger princess joshua cheese amanda summer love ashley nicole chelsea matthew yankees dallas
  austin thunder taylor matrix william corvette hello martin heather merlin diamond hammer silver anthony justin
  bailey patrick scooter orange golfer cookie richard samantha guitar jackson whatever mickey chicken sparky
  snoopy maverick phoenix camaro peanut morgan falcon cowboy ferrari samsung andrea smokey joseph mercedes dakota
  arsenal eagles melissa spider monster tigers yellow marina diablo bulldog purple banana junior hannah porsche
  lakers money london tennis coffee boston mother forever player knight midnight please chicago angel flower
  rabbit wizard winter spring autumn november december january february monday friday casper crystal panther
  canada liverpool rainbow nathan johnson jonathan trustno florida dolphin captain world pokemon naruto minecraft
  google facebook windows apple android oracle postgres enterprise
  correcthorsebatterystaple thisismypassword mypassword mypasswordis ihateyou iloveyousomuch iforgot dontknow
  idontknow letmeinplease opensesame thequickbrownfox trustnoone nopassword jesuschrist perasperaadastra
  thirtysecondstomars
  `
    .trim()
    .split(/\s+/),
);

/**
 * Whether a password is a common one or is stretched from common words: repeated, reversed, joined, written with digits
 * for letters, or filled up with digits, signs, runs and a few letters.
 */
export function isCommonPassword(password: string): boolean {
  return readings(password)
    .flatMap((reading) => [reading, { written: reversed(reading.written), meant: reversed(reading.meant) }])
    .some((reading) => {
      const rest = withoutWords(reading, COMMON_BASES);
      return rest !== reading.written && addsLittle(rest);
    });
}
