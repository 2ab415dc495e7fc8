import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { ERROR_STATUS, KeyturnError } from '../common/errors.js';
import { CONFIG, type Config } from '../config/config.js';
import { ConfigError } from '../config/load-config.js';
import { refuseStranger } from './metrics.controller.js';
import { Metrics } from './metrics.js';

/** `/metrics` on METRICS_BIND, an address that the public does not reach. */
@Injectable()
export class MetricsListener implements OnApplicationBootstrap, OnApplicationShutdown {
  private server: Server | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly metrics: Metrics,
  ) {}

  /** @throws ConfigError when the address cannot be listened on */
  async onApplicationBootstrap(): Promise<void> {
    const { bind } = this.config.metrics;
    if (!bind) return;
    const server = createServer((request, response) => void this.answer(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(new ConfigError([`METRICS_BIND ${bind.host}:${bind.port} cannot be listened on: ${error.message}`])),
      );
      server.listen(bind.port, bind.host, resolve);
    });
    this.server = server;
  }

  /** The port listened on; undefined: none. */
  get port(): number | undefined {
    const address = this.server?.address();
    return typeof address === 'object' ? address?.port : undefined;
  }

  onApplicationShutdown(): void {
    this.server?.close();
    this.server?.closeAllConnections();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (request.method !== 'GET' || request.url?.split('?', 1)[0] !== '/metrics')
        throw new KeyturnError('not_found', 'There is only GET /metrics here.');
      refuseStranger({ raw: request }, this.config.metrics.token);
      const text = await this.metrics.read();
      response.writeHead(200, { 'content-type': this.metrics.contentType, 'cache-control': 'no-store' }).end(text);
    } catch (error) {
      const known = error instanceof KeyturnError ? error : new KeyturnError('internal_error', 'Something went wrong.');
      response.writeHead(ERROR_STATUS[known.code], { 'content-type': 'text/plain' }).end(`${known.message}\n`);
    }
  }
}
