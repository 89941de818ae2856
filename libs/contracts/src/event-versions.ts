import type { z } from 'zod';
import { ORDER_EVENT_TYPES, eventDataSchema, type OrderEvent, type OrderEventType } from './order-events.ts';

/** What is known of an event besides its data: enough to fill in what a former version did not say. */
export interface EventOrigin {
  orderId: string;
  /** Which of the order's events it is. */
  version: number;
  at: Date;
}

/** A type of event that is written no more, but lies in the events table and in the log for ever. */
export interface FormerVersion {
  /** As it is stored: `order.placed.v1`. */
  type: string;
  /** Its data, as it was published. */
  data: z.ZodType;
  /** The type that took its place, former or of today. */
  next: string;
  /** What the next version would have said. Pure, and it never refuses: what was recorded did happen. */
  upcast(data: never, origin: EventOrigin): object;
}

/** Every type of event that was ever written, and how the former ones become those of today. */
export class EventVersions {
  readonly #schemas = new Map<string, z.ZodType>();
  readonly #former = new Map<string, FormerVersion>();

  /** @throws Error for a type that is listed twice, or that does not lead to a type of today. */
  constructor(former: readonly FormerVersion[]) {
    for (const type of ORDER_EVENT_TYPES) this.#schemas.set(type, eventDataSchema(type) as z.ZodType);
    for (const version of former) {
      if (this.#schemas.has(version.type)) throw new Error(`There are two schemas of ${version.type}.`);
      this.#schemas.set(version.type, version.data);
      this.#former.set(version.type, version);
    }
    for (const { type } of former) this.#checkLeadsToToday(type);
  }

  /** Former types first, as they are listed. */
  get types(): string[] {
    return [...this.#former.keys(), ...ORDER_EVENT_TYPES];
  }

  /** The schema of a type's data as it is stored, or undefined for a type that nobody here has heard of. */
  schemaOf(type: string): z.ZodType | undefined {
    return this.#schemas.get(type);
  }

  /**
   * A stored event as today's readers know it: one of a former type is carried from version to version.
   *
   * @param data of a type that `schemaOf` knows, and of its shape.
   */
  upcast(type: string, data: unknown, origin: EventOrigin): OrderEvent {
    for (let former = this.#former.get(type); former !== undefined; former = this.#former.get(type))
      [type, data] = [former.next, former.upcast(data as never, origin)];
    return { type, data } as OrderEvent;
  }

  #checkLeadsToToday(type: string): void {
    const passed = new Set<string>();
    let at = type;
    for (let former = this.#former.get(at); former !== undefined; former = this.#former.get(at)) {
      if (passed.has(at)) throw new Error(`${type} leads back to itself.`);
      passed.add(at);
      at = former.next;
    }
    if (!ORDER_EVENT_TYPES.includes(at as OrderEventType))
      throw new Error(`${type} leads to ${at}, which is no type of today.`);
  }
}

/**
 * None so far: every type is at its first version. A change that a reader would notice is a new type in `order-events.ts`,
 * and the one that it replaces moves here, with its schema and its upcaster; its sample stays where it is.
 */
export const ORDER_EVENT_VERSIONS = new EventVersions([]);
