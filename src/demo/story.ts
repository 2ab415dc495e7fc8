import { broken, headerOf, keySet, problem, read, revoked, rotated, tokenPair, userView } from './answers.js';
import { Conversation } from './conversation.js';
import { expectThat } from './expectation.js';
import { tellHistory } from './history.js';
import type { Screen } from './screen.js';
import type { World } from './world.js';

/** Tells the whole story. @throws NotAsTold as soon as something else happens than is told */
export async function tellStory(world: World, screen: Screen, signal: AbortSignal): Promise<void> {
  const story = new Story(world, screen, new Conversation(world.url, screen, signal));
  const { token, kid } = await story.logIn();
  await story.guard(token, kid);
  const second = await story.rotate(token, kid);
  const newer = await story.bothGood(token, kid, second);
  await story.revoke(kid, token, second, newer);
  screen.chapter('The history that all this wrote');
  screen.say(
    'As the role keyturn_auditor, in plain SQL. Triggers wrote these rows, each in the transaction it tells of:',
  );
  await tellHistory(screen, world.auditorUrl, { first: kid, second, who: world.administrator.username });
}

class Story {
  constructor(
    private readonly world: World,
    private readonly screen: Screen,
    private readonly http: Conversation,
  ) {}

  async logIn(): Promise<{ token: string; kid: string }> {
    this.screen.chapter('Log in');
    const { access_token: token } = read(
      tokenPair,
      await this.http.ask(200, 'POST', '/auth/login', { body: this.world.administrator }),
    );
    return { token, kid: this.signedBy(token) };
  }

  async guard(token: string, kid: string): Promise<void> {
    this.screen.chapter('A guarded route');
    this.screen.say('Without a token:');
    await this.http.ask(401, 'GET', '/auth/me');
    this.screen.say('With one character of the signature changed:');
    await this.refused(broken(token));
    this.screen.say('With the token as it was:');
    await this.accepted(token, `let in: the token under ${kid}`);
  }

  /** @returns kid of the key that signs now */
  async rotate(token: string, first: string): Promise<string> {
    this.screen.chapter('Rotation');
    this.screen.say('The next key has been public for a moment only: caches elsewhere may not know it yet.');
    const body = { reason: 'the demo rotates' };
    const { code } = read(problem, await this.http.ask(409, 'POST', '/keys/rotate', { token, body }));
    expectThat(this.screen, 'refused politely: standby_too_young', code === 'standby_too_young', code);
    this.screen.say('Asked again with force, which history will record as such:');
    const forced = { token, body: { ...body, force: true } };
    const outcome = read(rotated, await this.http.ask(200, 'POST', '/keys/rotate', forced));
    const { retired, activated } = outcome;
    expectThat(
      this.screen,
      `${activated} signs, ${first} only verifies`,
      outcome.forced && retired === first && activated !== first,
      outcome,
    );
    return activated;
  }

  /** @returns a token under the second key */
  async bothGood(older: string, first: string, second: string): Promise<string> {
    this.screen.chapter('The old token is still good, a new one comes under the new key');
    await this.accepted(older, `still good: the token under ${first}`);
    this.screen.say('A new login:');
    const login = await this.http.ask(200, 'POST', '/auth/login', { body: this.world.administrator });
    const { access_token: newer } = read(tokenPair, login);
    const kid = this.signedBy(newer);
    expectThat(this.screen, `the new token is signed with ${second}`, kid === second, kid);
    this.screen.say('What others verify with:');
    const published = await this.publishedKids();
    const both = published.includes(first) && published.includes(second);
    expectThat(this.screen, `JWKS shows ${first} and ${second}`, both, published);
    return newer;
  }

  async revoke(first: string, older: string, second: string, newer: string): Promise<void> {
    this.screen.chapter('Revocation');
    this.screen.say(`Say that ${first} has leaked:`);
    const question = { token: newer, body: { reason: 'the demo says it leaked' } };
    const outcome = read(revoked, await this.http.ask(200, 'POST', `/keys/${first}/revoke`, question));
    const { live, following } = outcome.replicas;
    const everywhere = live > 0 && following === live && outcome.revoked === first && outcome.signer === second;
    expectThat(this.screen, `dead on ${following} of ${live} running servers`, everywhere, outcome);
    this.screen.say(`The token under ${first}:`);
    await this.refused(older);
    this.screen.say(`The token under ${second}:`);
    await this.accepted(newer, `not touched: the token under ${second}`);
    this.screen.say('And the public keys:');
    const published = await this.publishedKids();
    const gone = !published.includes(first) && published.includes(second);
    expectThat(this.screen, `${first} has left JWKS, ${second} is in it`, gone, published);
  }

  private async accepted(token: string, claim: string): Promise<void> {
    const { username } = read(userView, await this.http.ask(200, 'GET', '/auth/me', { token }));
    expectThat(this.screen, claim, username === this.world.administrator.username, username);
  }

  private async refused(token: string): Promise<void> {
    const { code } = read(problem, await this.http.ask(401, 'GET', '/auth/me', { token }));
    expectThat(this.screen, 'refused: invalid_token', code === 'invalid_token', code);
  }

  private async publishedKids(): Promise<string[]> {
    const { keys } = read(keySet, await this.http.ask(200, 'GET', '/.well-known/jwks.json'));
    return keys.map((key) => key.kid);
  }

  /** Shows a token's header, as anybody can decode it, and says which key it names. */
  private signedBy(token: string): string {
    const header = headerOf(token);
    this.screen.detail(`token header: ${JSON.stringify(header)}`);
    const { kid = '', typ } = header;
    expectThat(this.screen, `the token names its key, ${kid}`, typ === 'at+jwt' && /^\d+-.{8}$/.test(kid), header);
    return kid;
  }
}
