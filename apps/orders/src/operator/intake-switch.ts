import type { Intake, SwitchIntakeMessage, SwitchIntakeReply } from '@tandem/contracts/intake';
import { confirmStored, durableTransaction } from '@tandem/postgres/durable';
import { OutcomeUnknownError } from '@tandem/transports/rabbitmq/errors';
import type { FanoutPublisher } from '@tandem/transports/rabbitmq/fanout';
import type { Pool } from 'pg';

interface Row {
  revision: number;
  command_id: string;
  paused: boolean;
  reason: string | null;
  since: Date;
}

/** Keeps the operator's switch, and tells every gateway when it is turned. */
export class IntakeSwitch {
  readonly #pool: Pool;
  readonly #everyGateway: FanoutPublisher;

  constructor(pool: Pool, everyGateway: FanoutPublisher) {
    this.#pool = pool;
    this.#everyGateway = everyGateway;
  }

  async get(): Promise<Intake> {
    const text = 'select * from intake order by revision desc limit 1';
    const { rows } = await this.#pool.query<Row>({ name: 'newest-intake', text });
    return intakeOf(rows[0] as Row);
  }

  /**
   * Answers after every gateway that is connected has been told. A repeat tells them again, in case the first could not, and is
   * answered as the first was.
   *
   * @throws OutcomeUnknownError when the switch may have been turned and gateways may not have been told.
   */
  async set({ commandId, body }: SwitchIntakeMessage): Promise<SwitchIntakeReply> {
    try {
      const { mine, newest, replayed } = await this.#store(commandId, body.paused, body.reason ?? null);
      if (mine.paused !== body.paused || mine.reason !== (body.reason ?? null))
        return { outcome: 'rejected', rejection: { code: 'key_reused' } };
      if (replayed) await confirmStored(this.#pool);
      await this.#everyGateway.publish(intakeOf(newest));
      return { outcome: 'accepted', intake: intakeOf(mine), replayed };
    } catch (error) {
      // Committed, though not told: to the caller that is unknown, and repeating it tells them.
      throw error instanceof Error && error.name === 'NotTakenError'
        ? new OutcomeUnknownError('Gateways could not be told', { cause: error })
        : error;
    }
  }

  #store(commandId: string, paused: boolean, reason: string | null) {
    return durableTransaction(this.#pool, async (client) => {
      await client.query('lock table intake in share row exclusive mode');
      const { rowCount } = await client.query(
        `insert into intake (revision, command_id, paused, reason)
           select max(revision) + 1, $1, $2, $3 from intake
         on conflict (command_id) do nothing`,
        [commandId, paused, reason],
      );
      const { rows } = await client.query<Row>(
        `select * from intake
          where command_id = $1 or revision = (select max(revision) from intake)
          order by revision`,
        [commandId],
      );
      const mine = rows.find((row) => row.command_id === commandId) as Row;
      const newest = rows.at(-1) as Row;
      return { mine, newest, replayed: rowCount === 0 };
    });
  }
}

const intakeOf = ({ paused, reason, revision, since }: Row): Intake => ({
  paused,
  ...(reason === null ? {} : { reason }),
  revision,
  since: since.toISOString(),
});
