import { Controller, Get, Header } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Public } from '../common/access.js';
import { ICON, STYLE } from './assets.js';
import { html, page } from './page.js';

/** Their addresses change with them. */
const FOR_GOOD = 'public, max-age=31536000, immutable';

/** The first page, and what every page is made of. */
@ApiExcludeController()
@Public()
@Controller()
export class HomeController {
  @Get()
  @Header('content-type', 'text/html; charset=utf-8')
  home(): string {
    return page(
      'Welcome',
      html`<p>Login with signing keys that rotate themselves.</p>
        <ul class="list">
          <li><a href="/account">Your account</a></li>
          <li><a href="/docs">API description</a></li>
          <li><a href="/.well-known/jwks.json">Public keys (JWKS)</a></li>
          <li><a href="/health/ready">Health</a></li>
        </ul>`,
    );
  }

  @Get('console.css')
  @Header('content-type', 'text/css; charset=utf-8')
  @Header('cache-control', FOR_GOOD)
  style(): string {
    return STYLE;
  }

  @Get('icon.svg')
  @Header('content-type', 'image/svg+xml')
  @Header('cache-control', FOR_GOOD)
  icon(): string {
    return ICON;
  }
}
