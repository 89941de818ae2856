import { endToEnd } from '../jest.preset.mjs';

export default { ...endToEnd, displayName: 'e2e' };
