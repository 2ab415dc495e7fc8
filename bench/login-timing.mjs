/**
 * Does the time of a refused login tell whether there is such a user? `npm run bench:login -- [logins of each kind] [--print]`. Unknown, wrong
 * and disabled over real HTTP, one at a time, each round in an order of its own, so that whatever else the machine does falls on all of them
 * alike. What work each does is counted by test/e2e/login.spec.ts. Prints the report and, without --print, writes bench/reports/login.*.
 */
import { inWords, machine, publish, quantile, shuffled, table } from './report.mjs';
import { admin, demand, inWorld, newPassword, post } from './world.mjs';

const rounds = Number(process.argv.slice(2).find((word) => word !== '--print') ?? 300);
const WARM_UP = 30;
/** Must-hold 28: how far the medians may lie apart. */
const GOAL = 0.05;
const RESAMPLED = 2_000;
/** Every login here comes from one address. */
const UNTHROTTLED = {
  LOGIN_ATTEMPTS: '1000000',
  LOGIN_ATTEMPTS_BY_NAME: '1000000',
  LOGIN_ATTEMPTS_BY_ADDRESS: '1000000',
};

/** A user with a password of their own, who was disabled. */
async function makeDisabled(url) {
  const off = { username: 'bench-disabled', password: newPassword() };
  const { access_token: token } = await demand(url, '/auth/login', admin);
  const { user, code } = await demand(url, '/users', { username: off.username }, token);
  await demand(url, '/auth/redeem', { code, password: off.password });
  await demand(url, `/users/${user.id}/disable`, {}, token);
  return off;
}

/** Milliseconds of each login, by kind. */
async function measure(url, kinds) {
  const names = Object.keys(kinds);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const name of shuffled(names)) {
      const body = kinds[name]();
      const begun = performance.now();
      const { status, text } = await post(url, '/auth/login', body);
      const took = performance.now() - begun;
      if (status !== 401) throw new Error(`${name}: ${status} ${text}`);
      if (round >= 0) times[name].push(took);
    }
  }
  return times;
}

/** How far the medians of all kinds lie apart: 0.01 is one in a hundred. */
const apart = (lists) => {
  const medians = lists.map((list) => quantile(list, 0.5));
  return Math.max(...medians) / Math.min(...medians) - 1;
};

/**
 * The 95th percentile of how far apart medians of this many logins come to lie by chance alone: the kinds of each round shuffled, many times
 * over. What is measured lies beyond it when time does tell the kinds apart, and within it when it does not.
 */
function byChance(lists) {
  const distances = Array.from({ length: RESAMPLED }, () => {
    const relabelled = lists[0].map((_, round) => shuffled(lists.map((list) => list[round])));
    return apart(lists.map((_, kind) => relabelled.map((round) => round[kind])));
  });
  return quantile(distances, 0.95);
}

async function report(times, world) {
  const kinds = Object.entries(times).map(([name, list]) => ({
    name,
    ...{ median: quantile(list, 0.5), p25: quantile(list, 0.25), p75: quantile(list, 0.75), p95: quantile(list, 0.95) },
  }));
  const lists = Object.values(times);
  const distance = apart(lists);
  const chance = byChance(lists);
  const percent = (part) => `${(part * 100).toFixed(1)} %`;
  const lines = [
    '# The time of a refused login',
    '',
    inWords(world),
    `${rounds} logins of each kind over loopback after ${WARM_UP} to warm up, one at a time, the kinds in a new order each round.`,
    '',
    ...table(
      ['kind, milliseconds', 'median', '25 %', '75 %', '95 %', 'median / that of unknown'],
      kinds.map(({ name, median, p25, p75, p95 }) => [name, median, p25, p75, p95, median / kinds[0].median]),
      3,
    ),
    '',
    `The medians lie ${percent(distance)} apart; must-hold 28 allows ${percent(GOAL)}: ${distance <= GOAL ? 'met' : 'missed'}. ` +
      `By chance alone they would lie ${percent(chance)} apart one time in twenty: ${distance > chance ? 'the kinds differ by more than chance' : 'no difference was found'}.`,
  ];
  await publish('login', lines, {
    machine: world,
    rounds,
    goal: GOAL,
    apart: distance,
    byChance: chance,
    kinds,
    times,
  });
}

await inWorld(async ({ postgres, keyturn }) => {
  const world = await machine(postgres.version);
  const { url } = await keyturn(UNTHROTTLED);
  const off = await makeDisabled(url);
  const times = await measure(url, {
    unknown: () => ({ username: 'bench-nobody', password: admin.password }),
    wrong: () => ({ username: admin.username, password: newPassword() }),
    disabled: () => off,
  });
  await report(times, world);
});
