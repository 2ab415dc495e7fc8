import { connect } from 'node:net';

/**
 * Sends exactly this over a connection of its own and reads until the server closes it: for what no HTTP client would send.
 * Ask with `connection: close`.
 */
export async function exchange(url: string, request: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const socket = connect(Number(port), hostname, () => socket.write(request));
    socket.on('data', (bytes) => received.push(bytes));
    // A server that has read enough may reset the connection while we still send.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')));
  });
}
