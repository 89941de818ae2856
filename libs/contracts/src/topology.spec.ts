import { topology } from './topology.ts';

/** Every name of a topology, with its kind: a database and a group may share one. */
const namesOf = (namespace: string) => {
  const { databases, queues, exchanges, topics, groups } = topology(namespace);
  const kinds = Object.entries({ databases, queues, exchanges, topics, groups });
  return kinds.flatMap(([kind, names]) => Object.values(names).map((name) => `${kind} ${name}`));
};

describe('the names on the servers', () => {
  it('have no prefix without a namespace', () => {
    expect(topology('').queues.orderCommands).toBe('orders.commands');
    expect(topology('').databases.orders).toBe('orders');
  });

  it('share nothing between two namespaces', () => {
    const all = [...namesOf(''), ...namesOf('one'), ...namesOf('two')];
    expect(new Set(all).size).toBe(all.length);
  });
});
