import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { contradictionOf } from '../../common/route-access.js';

/** Refuses to start an application whose routes say of themselves that they are open and guarded at once. */
@Injectable()
export class RouteRules implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  onModuleInit(): void {
    const wrong = this.discovery.getControllers().flatMap(({ metatype }) => this.contradictions(metatype));
    if (wrong.length > 0) throw new Error(`Choose one of the two:\n${wrong.join('\n')}\nSee docs/guarding-routes.md.`);
  }

  private contradictions(controller: unknown): string[] {
    if (typeof controller !== 'function') return [];
    const prototype: object = controller.prototype;
    const places: readonly (readonly [string, unknown])[] = [
      [controller.name, controller],
      ...this.scanner
        .getAllMethodNames(prototype)
        .map((name) => [`${controller.name}.${name}`, Reflect.get(prototype, name)] as const),
    ];
    return places.flatMap(([name, place]) => {
      const contradiction = typeof place === 'function' ? contradictionOf(place) : undefined;
      return contradiction === undefined ? [] : [`  - ${name} says ${contradiction}`];
    });
  }
}
