import { describe, expect, it } from '@jest/globals';
import { DatabaseClock } from './database-clock.js';

const minute = 60_000;
const jumped = (from: number): number => from + 5 * minute;

describe('the database’s clock', () => {
  it('takes the middle of the round trip for the moment of a reading', () => {
    const clock = new DatabaseClock();
    const sentAt = performance.now() - 200;
    clock.observe(1_000_000, sentAt, sentAt + 100);
    expect(clock.now()).toBeGreaterThanOrEqual(1_000_150);
    expect(clock.now()).toBeLessThan(1_000_150 + 10_000);
  });

  it('is never behind an instant that the database has said', () => {
    const clock = new DatabaseClock();
    const said = jumped(clock.now());
    clock.reached(said);
    expect(clock.now()).toBeGreaterThanOrEqual(said);
  });

  it('is not set back by an instant that is past', () => {
    const clock = new DatabaseClock();
    const before = clock.now();
    clock.reached(before - minute);
    expect(clock.now()).toBeGreaterThanOrEqual(before);
  });

  it('is not set back by a reading that was asked for before that instant was said', () => {
    const clock = new DatabaseClock();
    const sentAt = performance.now();
    const read = clock.now();
    const said = jumped(read);
    clock.reached(said);
    clock.observe(read, sentAt, performance.now());
    expect(clock.now()).toBeGreaterThanOrEqual(said);
  });

  it('is set back by a reading that was asked for after it', () => {
    const clock = new DatabaseClock();
    const said = jumped(clock.now());
    clock.reached(said);
    const sentAt = performance.now();
    clock.observe(said - 2 * minute, sentAt, sentAt);
    expect(clock.now()).toBeLessThan(said - minute);
  });

  it('tells the time of an answer at once, and breaks the silence when all of it is known', () => {
    const clock = new DatabaseClock();
    const sentAt = performance.now();
    clock.observe(1_000_000, sentAt, sentAt);
    expect(clock.silence()).toBe(Infinity);
    clock.followed(sentAt);
    expect(clock.silence()).toBeLessThan(10_000);
  });

  it('says nothing of silence when an instant comes by the way', () => {
    const clock = new DatabaseClock();
    clock.reached(jumped(clock.now()));
    expect(clock.silence()).toBe(Infinity);
  });
});
