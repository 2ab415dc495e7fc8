import { Inject, Injectable } from '@nestjs/common';
import { KeyturnError } from '../../common/errors.js';
import { CONFIG, type Config } from '../../config/config.js';
import type { Actor } from '../../database/change.js';
import { GENERATE_KEY, type GenerateKey, type KeyMaterial } from '../key-material.js';
import { planReplacement } from '../planning/plan-keys.js';
import { Replicas } from '../replicas/replicas.js';
import { signerAmong, type Algorithm, type Instant, type SigningKey } from '../signing-key.js';
import { SigningKeyStore } from '../store/signing-key-store.js';
import type { Publication } from '../store/signing-key-writes.js';
import { CannotOpen } from '../vault/key-encryption-keys.js';
import { KeySealing } from '../vault/key-sealing.js';

/** Where the new standby comes from. */
export type Source =
  | { readonly is: 'generated'; readonly algorithm?: Algorithm | undefined }
  | { readonly is: 'renewed' }
  | { readonly is: 'imported'; readonly material: KeyMaterial; readonly kid?: string | undefined };

export interface ReplacementOutcome {
  readonly at: Instant;
  /** The standby whose place was taken; it is revoked as superseded. */
  readonly displaced: SigningKey | undefined;
  /** kid of the new one. */
  readonly standby: string;
  readonly takesOverAt: Instant;
}

/** Puts another key in the standby's place: one primitive behind replace-standby, renew and import. */
@Injectable()
export class KeyReplacement {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(GENERATE_KEY) private readonly generate: GenerateKey,
    private readonly store: SigningKeyStore,
    private readonly sealing: KeySealing,
    private readonly replicas: Replicas,
  ) {}

  /**
   * The new standby takes over at the planned time, or once it was public for its lead, whichever is later.
   * @throws KeyturnError `key_change_refused`, `database_unavailable`
   */
  async replaceStandby(actor: Actor, source: Source): Promise<ReplacementOutcome> {
    await this.refuseForeignKek();
    const { material, origin, renews } = await this.obtain(source);
    const { published, ...outcome } = await this.store.change(
      actor,
      (keys, now) => {
        if (renews !== undefined && signerAmong(keys, now)?.version !== renews) {
          throw new KeyturnError('version_conflict', `Version ${renews} does not sign any more. Nothing was changed.`);
        }
        const { mint, displaced } = planReplacement(keys, this.config.keys, now);
        const publication: Publication = { mint, material, ...(origin && { origin }), displaces: displaced?.version };
        return { changes: { publish: [publication] }, result: { at: now, displaced, takesOverAt: mint.activatesAt } };
      },
      (half, owner) => this.sealing.seal(half, owner),
    );
    return { ...outcome, standby: published[0] ?? '' };
  }

  private async obtain(
    source: Source,
  ): Promise<{ material: KeyMaterial; origin?: Publication['origin']; renews?: number }> {
    if (source.is === 'imported') return { material: source.material, origin: { is: 'imported', kid: source.kid } };
    if (source.is === 'renewed') return this.activePair();
    const { algorithm, modulusLength } = this.config.keys;
    return { material: await this.generate(source.algorithm ?? algorithm, modulusLength) };
  }

  private async activePair(): Promise<{ material: KeyMaterial; origin: Publication['origin'] & {}; renews: number }> {
    const { keys } = await this.store.load();
    const { now } = await this.store.look();
    const signer = signerAmong(
      keys.map(({ key }) => key),
      now,
    );
    const sealed = keys.find(({ key }) => key.version === signer?.version)?.sealed;
    if (!signer || !sealed) throw new KeyturnError('key_change_refused', 'No key is active that could be renewed.');
    const { version, algorithm, publicJwk, thumbprint } = signer;
    return {
      material: { algorithm, publicJwk, thumbprint, privateKey: this.open(signer, sealed) },
      origin: { is: 'renewed', from: version },
      renews: version,
    };
  }

  private open(...[owner, sealed]: Parameters<KeySealing['open']>): KeyMaterial['privateKey'] {
    try {
      return this.sealing.open(owner, sealed);
    } catch (error) {
      if (!(error instanceof CannotOpen)) throw error;
      throw new KeyturnError(
        'key_change_refused',
        `The private half of ${owner.kid} cannot be opened here: ${error.message}.`,
        {},
        { cause: error },
      );
    }
  }

  /** What is sealed here must open on the servers, or the next takeover would leave nobody to sign. */
  private async refuseForeignKek(): Promise<void> {
    const [current = ''] = this.sealing.kekIds;
    const lacking = await this.replicas.lacking(current);
    if (!lacking) return;
    throw new KeyturnError(
      'key_change_refused',
      `${lacking.clause}, under which this would be sealed. Give them the same KEK_FILE.${lacking.hint}`,
    );
  }
}
