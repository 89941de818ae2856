import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { AuthoriseJob, PAYMENT_JOBS, RefundJob } from '@tandem/contracts/payment-jobs';
import { JobContext, JOBS } from '@tandem/transports/rabbitmq/job-server';
import { PaymentHandler } from './payment-handler.ts';

@Controller()
export class PaymentJobsController {
  constructor(private readonly handler: PaymentHandler) {}

  @EventPattern<string>(PAYMENT_JOBS.authorise, JOBS)
  authorise(@Payload({ schema: AuthoriseJob }) data: AuthoriseJob, @Ctx() context: JobContext): Promise<void> {
    return this.handler.run({ kind: PAYMENT_JOBS.authorise, data }, context);
  }

  @EventPattern<string>(PAYMENT_JOBS.refund, JOBS)
  refund(@Payload({ schema: RefundJob }) data: RefundJob, @Ctx() context: JobContext): Promise<void> {
    return this.handler.run({ kind: PAYMENT_JOBS.refund, data }, context);
  }
}
