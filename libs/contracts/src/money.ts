import { z } from 'zod';

/** The active codes of ISO 4217 that name money (no funds, metals or test codes). */
export const CURRENCIES = (
  'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP ' +
  'CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ' +
  'IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU ' +
  'MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG ' +
  'SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV ' +
  'WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG'
).split(' ');

/** An ISO 4217 code. */
export const Currency = z.enum(CURRENCIES).meta({ id: 'Currency', description: 'ISO 4217 code', example: 'EUR' });
export type Currency = z.infer<typeof Currency>;

/** Integer minor units (cents, for EUR), up to 2^53 − 1. */
export const Amount = z.int().min(0);

/** Integer minor units that may be negative. */
export const SignedAmount = z.int();

/**
 * The sum of an order in minor units: lines (quantity × unit price) plus adjustments. A `bigint`, because each factor may
 * be as large as 2^53 − 1.
 */
export function totalOf(order: {
  lines: readonly { quantity: number; unitPrice: number }[];
  adjustments: readonly { amount: number }[];
}): bigint {
  let total = 0n;
  for (const line of order.lines) total += BigInt(line.quantity) * BigInt(line.unitPrice);
  for (const adjustment of order.adjustments) total += BigInt(adjustment.amount);
  return total;
}
