// @ts-check
import { tellProvider } from '@tandem/tools/provider.mjs';

export default () => tellProvider('fail');
