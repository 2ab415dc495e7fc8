import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { ERROR_STATUS, KeyturnError, type ErrorCode } from '../errors.js';
import { wantsPage, type NavigationHeaders } from './navigation.js';
import { SeeOther } from './see-other.js';
import type { Tally } from '../tally.js';

/** RFC 9457, with our stable `code` and the request's id. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly requestId: string;
  readonly [extension: string]: unknown;
}

interface Request {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly headers: NavigationHeaders;
}

interface Reply {
  status(code: number): Reply;
  header(name: string, value: string | number): Reply;
  send(body: unknown): unknown;
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** What Fastify and Nest refuse by themselves, in our words. */
const BY_STATUS: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  400: ['invalid_request', 'The request cannot be understood.'],
  404: ['not_found', 'There is nothing here.'],
  405: ['method_not_allowed', 'This method is not allowed here.'],
  413: ['payload_too_large', 'The body is larger than 16 KiB.'],
  415: ['unsupported_media_type', 'Send the body as application/json.'],
  431: ['headers_too_large', 'The headers are larger than 16 KiB.'],
};

const MALFORMED_BODY = new Set([
  'FST_ERR_CTP_INVALID_JSON_BODY',
  'FST_ERR_CTP_EMPTY_JSON_BODY',
  'FST_ERR_CTP_INVALID_CONTENT_LENGTH',
]);

/** Turns whatever was thrown into an answer. What we expect becomes a problem; what we do not is logged and says nothing. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('Http');

  /**
   * @param translate turns what others throw and we expect, such as a lost database, into a KeyturnError; the rest passes as it is
   * @param page the same answer as HTML, for a person who waits for a page
   */
  constructor(
    private readonly tally: Tally,
    private readonly translate: (thrown: unknown) => unknown,
    private readonly page?: (problem: Problem) => string,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const context = host.switchToHttp();
    this.answer(thrown, context.getRequest<Request>(), context.getResponse<Reply>());
  }

  /** The same for what is refused before Nest hears of it. */
  answer(thrown: unknown, request: Request, reply: Reply): void {
    if (thrown instanceof SeeOther) {
      reply.status(303).header('location', thrown.location).header('cache-control', 'no-store').send('');
      return;
    }
    const error = this.expected(thrown, request);
    this.tally.count('problems', error.code);
    const { retryAfter, fields, maxAge, allow, challenge: challenged, ...extensions } = error.details;
    const status = ERROR_STATUS[error.code];
    const problem: Problem = {
      type: 'about:blank',
      title: TITLES[status] ?? 'Error',
      status,
      code: error.code,
      detail: error.message,
      ...(fields && { errors: fields }),
      ...extensions,
      requestId: request.id,
    };
    if (retryAfter !== undefined) reply.header('retry-after', retryAfter);
    if (typeof allow === 'string') reply.header('allow', allow);
    const challenge = challengeFor(error, maxAge, challenged === true);
    if (challenge !== undefined) reply.header('www-authenticate', challenge);
    const page = wantsPage(request.headers) ? this.page?.(problem) : undefined;
    reply
      .status(status)
      .header('content-type', page === undefined ? 'application/problem+json' : 'text/html; charset=utf-8')
      .header('cache-control', 'no-store')
      .send(page ?? problem);
  }

  private expected(thrown: unknown, request: Request): KeyturnError {
    // What Fastify says of a request is that, though a client who hangs up resets a connection as a lost database does.
    const error = statusOf(thrown) === undefined ? this.translate(thrown) : thrown;
    if (error instanceof KeyturnError) {
      if (ERROR_STATUS[error.code] >= 500)
        this.logger.error(`${error.code}: ${error.message} ${causeOf(error)}`.trim());
      return error;
    }
    if (isMalformedBody(error)) return new KeyturnError('malformed_json', 'The body is not JSON.');
    const [ours, words] = BY_STATUS[statusOf(error) ?? 500] ?? [];
    if (ours !== undefined && words !== undefined) return new KeyturnError(ours, words);
    this.logger.error(
      `${request.method} ${request.url.split('?')[0]} failed`,
      error instanceof Error ? error.stack : String(error),
    );
    return new KeyturnError('internal_error', 'Something went wrong here. The request id helps to find it in the log.');
  }
}

/** Nest wraps what Fastify says of a body; Fastify's own code is in the cause then. */
function isMalformedBody(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && MALFORMED_BODY.has(String(error.code))) || isMalformedBody(error.cause);
}

const causeOf = ({ cause }: Error): string => (cause instanceof Error ? `(${cause.message})` : '');

function statusOf(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  const status: unknown = Reflect.get(Object(error), 'statusCode');
  return typeof status === 'number' ? status : undefined;
}

/** RFC 6750 section 3, and RFC 9470 for a login that is too old. */
function challengeFor({ code, message }: KeyturnError, maxAge: unknown, challenged: boolean): string | undefined {
  const bearer = 'Bearer realm="keyturn"';
  switch (code) {
    case 'missing_token':
    case 'invalid_credentials':
      return bearer;
    case 'invalid_token':
    case 'token_expired':
      return `${bearer}, error="invalid_token", error_description="${message}"`;
    case 'invalid_request':
      return challenged ? `${bearer}, error="invalid_request", error_description="${message}"` : undefined;
    case 'insufficient_scope':
      return `${bearer}, error="insufficient_scope"`;
    case 'fresh_login_required':
      return `${bearer}, error="insufficient_user_authentication", max_age="${String(maxAge)}"`;
    default:
      return undefined;
  }
}
