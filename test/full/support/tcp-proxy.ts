import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a server and Postgres, and fails as networks do. */
export class TcpProxy {
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private readonly stuck = new Set<Socket>();
  private server: Server | undefined;
  private stalled = false;
  private left = Infinity;
  private withheld: { readonly text: string; readonly asked: () => void } | undefined;

  private constructor(
    private readonly target: { host: string; port: number },
    private port: number,
  ) {}

  /** In front of the server of this connection string. */
  static async before(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const proxy = new TcpProxy({ host: hostname, port: Number(port || 5432) }, 0);
    await proxy.listen();
    return proxy;
  }

  /** The connection string, by way of the proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.hostname = '127.0.0.1';
    changed.port = String(this.port);
    return changed.href;
  }

  /** Connections end, and new ones are refused. */
  async refuse(): Promise<void> {
    await this.close();
  }

  /** So many more connections are served; whoever comes then is cut off at once. */
  refuseAfter(connections: number): void {
    this.left = connections;
  }

  /** Half-open: whatever is sent goes nowhere, nothing is ever reset, new connections are taken and stay silent. */
  stall(): void {
    this.stalled = true;
    for (const pair of this.pairs) {
      for (const socket of pair) {
        socket.unpipe();
        socket.pause();
        this.stuck.add(socket);
      }
    }
    this.pairs.clear();
  }

  /** The next statement with this text reaches Postgres; its answer never comes. @returns when it was sent */
  async withholdAnswerTo(text: string): Promise<void> {
    await new Promise<void>((asked) => (this.withheld = { text, asked }));
  }

  /** As if nothing had been; connections that were stuck stay so. */
  async forward(): Promise<void> {
    this.stalled = false;
    this.left = Infinity;
    if (this.server === undefined) await this.listen();
  }

  async end(): Promise<void> {
    await this.close();
    for (const socket of this.stuck) socket.destroy();
  }

  private async listen(): Promise<void> {
    const server = createServer((client) => this.take(client));
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address !== null && typeof address === 'object') this.port = address.port;
  }

  private async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    const closed = server && new Promise((resolve) => server.close(resolve));
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
    for (const socket of this.stuck) socket.destroy();
    await closed;
  }

  private take(client: Socket): void {
    client.on('error', () => client.destroy());
    if (this.stalled) {
      client.pause();
      this.stuck.add(client);
      return;
    }
    this.left -= 1;
    if (this.left < 0) {
      client.destroy();
      return;
    }
    const upstream = connect(this.target);
    const pair = [client, upstream] as const;
    this.pairs.add(pair);
    upstream.on('error', () => client.destroy());
    client.on('data', (sent) => {
      if (this.withheld === undefined || !sent.includes(this.withheld.text)) return;
      upstream.unpipe(client).pause();
      this.withheld.asked();
      this.withheld = undefined;
    });
    for (const [from, to] of [pair, [upstream, client] as const]) {
      from.pipe(to);
      from.once('close', () => {
        if (!this.pairs.delete(pair) && this.stuck.has(from)) return;
        to.destroy();
      });
    }
  }
}
