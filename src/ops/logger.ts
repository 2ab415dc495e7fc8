import type { LoggerService } from '@nestjs/common';
import { pino, type Logger } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { printable } from '../common/printable.js';
import type { Config } from '../config/config.js';

/** Nest's words in pino's lines: JSON, or pretty for a person at a development terminal. */
export class PinoLogger implements LoggerService {
  private readonly pino: Logger;
  /** Lines that wait for `release()`. */
  private held: string[] | undefined;
  private readonly destination: { write(line: string): unknown };

  constructor({ logLevel, production }: Pick<Config, 'logLevel' | 'production'>) {
    const options = { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime };
    this.destination =
      production || !process.stdout.isTTY
        ? pino.destination({ fd: 1, sync: true })
        : PinoPretty({
            ignore: 'hostname,pid',
            translateTime: 'SYS:HH:MM:ss',
            messageFormat: '{context}  {msg}',
            hideObject: false,
            sync: true,
          });
    this.pino = pino(options, { write: (line) => (this.held ? this.held.push(line) : this.destination.write(line)) });
  }

  /** What is logged while the first screen is written comes after it; if that never stands, with the end of the process. */
  hold(): void {
    this.held = [];
    process.once('exit', () => this.release());
  }

  release(): void {
    const { held = [] } = this;
    this.held = undefined;
    for (const line of held) this.destination.write(line);
  }

  log(message: unknown, ...rest: unknown[]): void {
    this.write('info', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.write('error', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.write('warn', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.write('debug', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.write('fatal', message, rest);
  }

  /** What Nest says of its own start is for those who debug it; why a start failed is told once, by whoever started. */
  private static readonly CHATTER = new Set([
    'NestFactory',
    'InstanceLoader',
    'RoutesResolver',
    'RouterExplorer',
    'NestApplication',
    'ExceptionHandler',
    'TypeOrmModule',
  ]);

  /** Nest hands the context last, and a stack before it. */
  private write(
    level: 'info' | 'error' | 'warn' | 'debug' | 'fatal',
    message: unknown,
    rest: readonly unknown[],
  ): void {
    const last = rest.at(-1);
    const context = typeof last === 'string' ? last : undefined;
    const stack = rest.length > 1 && typeof rest[0] === 'string' ? rest[0] : undefined;
    const { text, fields } = parts(message);
    const heard = PinoLogger.CHATTER.has(context ?? '') ? 'debug' : level;
    this.pino[heard](
      { ...(context !== undefined && { context }), ...(stack !== undefined && { stack }), ...fields },
      printable(text),
    );
  }
}

function parts(message: unknown): { text: string; fields: Readonly<Record<string, unknown>> } {
  if (message instanceof Error) return { text: message.message, fields: { stack: message.stack } };
  if (typeof message !== 'object' || message === null) return { text: String(message), fields: {} };
  const { message: text, ...fields } = Object.fromEntries(Object.entries(message));
  return { text: String(text ?? ''), fields };
}
