import type { Socket } from 'node:net';

const REFUSALS = {
  headers_too_large: {
    status: '431 Request Header Fields Too Large',
    title: 'Request Header Fields Too Large',
    detail: 'The headers are larger than 16 KiB.',
  },
  request_timeout: {
    status: '408 Request Timeout',
    title: 'Request Timeout',
    detail: 'The request did not arrive in time.',
  },
  invalid_request: { status: '400 Bad Request', title: 'Bad Request', detail: 'This is not HTTP.' },
} as const;

const codeOf = ({ code }: NodeJS.ErrnoException): keyof typeof REFUSALS => {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request_timeout' : 'invalid_request';
};

/** Answers what Node's parser refuses before there is a request, in the words of every other answer, and hangs up. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = codeOf(error);
  const { status, title, detail } = REFUSALS[code];
  const body = JSON.stringify({ type: 'about:blank', title, status: Number(status.slice(0, 3)), code, detail });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/problem+json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n${body}`,
  );
}
