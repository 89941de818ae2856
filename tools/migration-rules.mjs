// @ts-check
// What a migration may do to tables that are large and in use: while it is rolled out, instances of the version before still
// read and write them. https://www.postgresql.org/docs/17/explicit-locking.html, sql-altertable.html#SQL-ALTERTABLE-NOTES
import { parse } from 'libpg-query';

/** Files of a lower number are older than these rules. */
const FIRST_CHECKED = 100;

/** In a comment above a statement: lets it stand, and says why. */
const ACCEPTED = /^\s*--\s*accepted:\s*\S.{15,}/im;

/** Kinds of commands of `alter table` that read or rewrite the whole table under a lock that keeps everybody out. */
const REWRITES = new Map([
  ['AT_AlterColumnType', 'another type rewrites the table: add a column, and fill it in steps'],
  [
    'AT_SetNotNull',
    'set not null reads the table under an exclusive lock: add a check not valid, validate it, then set it',
  ],
  ['AT_SetLogged', 'set logged rewrites the table'],
  ['AT_SetUnLogged', 'set unlogged rewrites the table'],
  ['AT_SetTableSpace', 'another tablespace rewrites the table'],
  ['AT_SetAccessMethod', 'another access method rewrites the table'],
  ['AT_SetExpression', 'another generated expression rewrites the table'],
]);

/** Functions whose value is the same for the whole statement, so that a default of them is stored once for all rows. */
const STABLE = ['now', 'transaction_timestamp', 'statement_timestamp', 'current_setting'];

/**
 * What the migrations of one database do that they should not, each with its file. Only `-- Up Migration` counts.
 *
 * @param {readonly { name: string, sql: string }[]} files in their order.
 * @param {readonly string[]} small tables that stay small, and may be locked and rewritten.
 * @returns {Promise<string[]>}
 */
export async function faultsOfMigrations(files, small) {
  const faults = [];
  /** @type {Map<string, string>} Tables by their indexes. */
  const indexes = new Map();
  for (const { name, sql } of files) {
    const found = await faultsOf(sql, small, indexes);
    if (Number.parseInt(name, 10) >= FIRST_CHECKED) faults.push(...found.map((fault) => `${name}: ${fault}`));
  }
  return faults;
}

/** @param {string} sql @param {readonly string[]} small @param {Map<string, string>} indexes */
async function faultsOf(sql, small, indexes) {
  const up = Buffer.from(sql.split(/^--\s*down migration.*$/im)[0] ?? '');
  const { stmts = [] } = await parse(up.toString());
  const file = {
    fresh: new Set(small),
    indexes,
    // A file that does something concurrently runs outside of a transaction: see `migrate` in libs/postgres.
    outside: stmts.some(({ stmt }) => isConcurrent(stmt)),
    /** @type {Set<string>} Indexes that a broken first try cannot have left invalid. */
    dropped: new Set(),
  };
  const faults = [];
  let end = 0;
  for (const { stmt, stmt_location: from = 0, stmt_len: length } of stmts) {
    const above = up.subarray(end, from).toString();
    end = length === undefined ? up.length : from + length;
    const found = [...faultsOfStatement(stmt, file)];
    if (!ACCEPTED.test(above)) faults.push(...found);
  }
  return faults;
}

/** @typedef {{ fresh: Set<string>, indexes: Map<string, string>, outside: boolean, dropped: Set<string> }} File */

/** @param {any} statement @param {File} file @returns {Generator<string>} */
function* faultsOfStatement(statement, { fresh, indexes, outside, dropped }) {
  const [[kind, it]] = /** @type {[[string, any]]} */ (Object.entries(statement));
  const inUse = (/** @type {any} */ relation) => relation !== undefined && !fresh.has(relation.relname);
  if (outside && !isConcurrent(statement))
    yield `${kind} stands beside something concurrent, which runs outside of a transaction: give it a file of its own`;
  switch (kind) {
    case 'CreateStmt':
      fresh.add(it.relation.relname);
      return;
    case 'CreateTableAsStmt':
      fresh.add(it.into.rel.relname);
      return;
    case 'IndexStmt':
      indexes.set(it.idxname, it.relation.relname);
      if (it.concurrent && !dropped.has(it.idxname))
        yield `${it.idxname}: a try that breaks leaves it invalid, so drop index concurrently if exists comes first`;
      if (!it.concurrent && inUse(it.relation))
        yield `${it.relation.relname}: create index keeps writers out while it reads the table: create it concurrently`;
      return;
    case 'DropStmt':
      for (const name of it.objects.map(nameOf)) {
        if (it.removeType === 'OBJECT_INDEX') {
          dropped.add(name);
          if (!it.concurrent && !fresh.has(indexes.get(name) ?? ''))
            yield `${name}: drop index waits for an exclusive lock, with everybody behind it: drop it concurrently`;
        } else if (it.removeType === 'OBJECT_TABLE' && !fresh.has(name)) yield `${name}: ${STILL_USED}`;
      }
      return;
    case 'AlterTableStmt':
      if (it.objtype !== 'OBJECT_TABLE') return;
      for (const { AlterTableCmd: command } of it.cmds)
        for (const fault of faultsOfCommand(command, inUse(it.relation))) yield `${it.relation.relname}: ${fault}`;
      return;
    case 'RenameStmt':
      if (it.renameType === 'OBJECT_TABLE' || it.renameType === 'OBJECT_COLUMN')
        yield `${it.relation.relname}: ${STILL_USED}`;
      return;
    case 'UpdateStmt':
    case 'DeleteStmt':
      if (inUse(it.relation))
        yield `${it.relation.relname}: changes rows without a bound, and keeps their locks until all are changed: do it in steps`;
      return;
    case 'LockStmt':
    case 'TruncateStmt':
      for (const { RangeVar: relation } of it.relations)
        if (inUse(relation)) yield `${relation.relname}: keeps everybody out`;
      return;
    case 'ClusterStmt':
    case 'VacuumStmt':
      yield 'cluster and vacuum rewrite tables, or cannot run here';
      return;
    case 'ReindexStmt':
    case 'RefreshMatViewStmt':
      if (!isConcurrent(statement))
        yield `${it.relation?.relname}: keeps others out while it reads: do it concurrently`;
      return;
    case 'DoStmt':
    case 'CallStmt':
      yield 'nobody sees what a do block or a procedure locks';
      return;
    default:
      // What changes rows inside of another statement.
      for (const [inner, changed] of nodesIn(it))
        if (inner === 'UpdateStmt' || inner === 'DeleteStmt')
          yield* faultsOfStatement({ [inner]: changed }, { fresh, indexes, outside: false, dropped });
  }
}

const STILL_USED = 'instances of the version before still use it: remove it in a later version';

/** @param {any} command of `alter table` @param {boolean} inUse @returns {Generator<string>} */
function* faultsOfCommand({ subtype, name, def = {} }, inUse) {
  if (subtype === 'AT_DropColumn') yield `${name}: ${STILL_USED}`;
  if (subtype === 'AT_AddColumn') yield* faultsOfColumn(def.ColumnDef, inUse);
  if (!inUse) return;
  const rewrites = REWRITES.get(subtype);
  if (rewrites !== undefined) yield rewrites;
  if (subtype === 'AT_AddConstraint') yield* faultsOfConstraint(def.Constraint);
  if (subtype === 'AT_ValidateConstraint')
    yield 'validate constraint reads the table while the locks of this file are kept: do it in steps, outside of migrations';
}

/** @param {any} column @param {boolean} inUse @returns {Generator<string>} */
function* faultsOfColumn({ colname, typeName, constraints = [] }, inUse) {
  const all = constraints.map((/** @type {any} */ { Constraint }) => Constraint);
  const byDefault = all.find((/** @type {any} */ { contype }) => contype === 'CONSTR_DEFAULT');
  const given = byDefault !== undefined || all.some((/** @type {any} */ { contype }) => FILLED.includes(contype));
  if (all.some((/** @type {any} */ { contype }) => contype === 'CONSTR_NOTNULL') && !given)
    yield `${colname}: not null without a default fails on rows, and for instances of the version before`;
  if (!inUse) return;
  if (/^(small|big)?serial/.test(nameOf({ List: { items: typeName.names } })) || given !== (byDefault !== undefined))
    yield `${colname}: rewrites the table: add it empty, and fill it in steps`;
  if (functionsIn(byDefault?.raw_expr).some((called) => !STABLE.includes(called)))
    yield `${colname}: a default that differs from row to row rewrites the table`;
  for (const constraint of all) yield* faultsOfConstraint(constraint);
}

/** Columns that fill themselves. */
const FILLED = ['CONSTR_GENERATED', 'CONSTR_IDENTITY'];

/** @param {any} constraint @returns {Generator<string>} */
function* faultsOfConstraint({ contype, skip_validation: unchecked, indexname }) {
  if (['CONSTR_UNIQUE', 'CONSTR_PRIMARY', 'CONSTR_EXCLUSION'].includes(contype) && indexname === undefined)
    yield 'builds an index under an exclusive lock: build it concurrently, then add the constraint using it';
  if (['CONSTR_CHECK', 'CONSTR_FOREIGN'].includes(contype) && !unchecked)
    yield 'the constraint is checked against every row under a lock: add it not valid';
}

/** @param {any} statement */
const isConcurrent = (statement) =>
  Object.values(statement).some(
    (it) =>
      it.concurrent === true ||
      it.params?.some((/** @type {any} */ { DefElem }) => DefElem.defname === 'concurrently') === true,
  );

/** The last part of a qualified name. @param {any} node @returns {string} */
const nameOf = ({ List }) => List.items.at(-1).String.sval;

/** @param {unknown} node @returns {string[]} */
const functionsIn = (node) =>
  [...nodesIn(node)].filter(([kind]) => kind === 'FuncCall').map(([, { funcname }]) => funcname.at(-1).String.sval);

/** Every node below one, with its kind. @param {unknown} node @returns {Generator<[kind: string, node: any]>} */
function* nodesIn(node) {
  if (typeof node !== 'object' || node === null) return;
  for (const [kind, inner] of Object.entries(node)) {
    yield [kind, inner];
    yield* nodesIn(inner);
  }
}
