// @ts-check
// `node tools/bundle.mjs apps/orders`: what tsc made of an app (dist, with its decorator metadata) becomes one
// self-contained file a program in dist-bundle, which needs Node.js and no node_modules. Migrations are found at
// `../migrations` of the bundle, as they are from the source.
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What libraries load only when they are asked for it, and Tandem never asks. Anything else that is missing fails the build. */
const absent = [
  '@fastify/multipart',
  '@fastify/view',
  '@grpc/grpc-js',
  '@grpc/proto-loader',
  '@nats-io/transport-node',
  '@nestjs/platform-express',
  '@nestjs/websockets/*',
  'class-transformer',
  'class-transformer/*',
  'class-validator',
  'file-type',
  'ioredis',
  'mqtt',
  'pg-native',
];

// Some of what is bundled was written for CommonJS and expects these.
const commonJs = `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname;`;

/** What of swagger-ui-dist the documentation page of @nestjs/swagger asks for. */
const swaggerAssets = [
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'swagger-ui-standalone-preset.js',
  'favicon-16x16.png',
  'favicon-32x32.png',
];
const swaggerAssetsCall = "require('swagger-ui-dist/absolute-path.js')()";

/** Nest reaches some packages in ways that a bundler cannot follow. @type {import('esbuild').Plugin} */
const nest = {
  name: 'nest',
  setup(builder) {
    builder.onLoad({ filter: /node_modules\/@nestjs\/.*\.js$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8');
      contents = contents.replaceAll('createRequire(import.meta.url)(', 'require(');
      if (path.endsWith('@nestjs/swagger/dist/swagger-ui/swagger-ui.js')) {
        if (!contents.includes(swaggerAssetsCall)) throw new Error(`${path} finds its assets in a new way`);
        contents = contents.replace(swaggerAssetsCall, "import.meta.dirname + '/swagger-ui'");
      }
      return { contents, loader: 'js' };
    });
  },
};

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Usage: node tools/bundle.mjs apps/<app>');
const app = resolve(folder);
const out = join(app, 'dist-bundle');
await rm(out, { recursive: true, force: true });

const programs = ['main', 'setup', 'recover'].filter((name) => existsSync(join(app, 'dist', `${name}.js`)));
if (!programs.includes('main')) throw new Error(`${join(app, 'dist', 'main.js')} is missing: compile the app first`);
const sizes = await Promise.all(programs.map(bundle));
if (sizes.some(({ swagger }) => swagger)) await copySwaggerAssets();
console.log(sizes.map(({ file, bytes }) => `${relative(root, file)} ${(bytes / 2 ** 20).toFixed(1)} MiB`).join('\n'));

/** @param {string} name */
async function bundle(name) {
  const file = join(out, `${name}.mjs`);
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [join(app, 'dist', `${name}.js`)],
    outfile: file,
    bundle: true,
    platform: 'node',
    target: 'node22',
    format: 'esm',
    conditions: ['node'],
    // Nest knows providers and Jest's kin know errors by the names of their classes.
    keepNames: true,
    minifySyntax: true,
    sourcemap: true,
    // For NODE_OPTIONS=--enable-source-maps. It is off in the image: the first trace would hold a service up for 0.2 s and
    // cost it 100 MB, and the bundle keeps names and lines readable.
    sourcesContent: false,
    legalComments: 'linked',
    external: absent,
    plugins: [nest],
    banner: { js: commonJs },
    metafile: true,
    logLevel: 'warning',
  });
  const output = metafile.outputs[relative(root, file)];
  if (output === undefined) throw new Error(`esbuild says nothing about ${file}`);
  // The build is the last moment to notice what would be missing at run time.
  const missing = output.imports.filter(({ path, external }) => external && !isBuiltin(path) && !isAbsent(path));
  if (missing.length > 0) throw new Error(`Not in the bundle: ${missing.map(({ path }) => path).join(', ')}`);
  const swagger = Object.keys(output.inputs).some((input) => input.endsWith('swagger-ui/swagger-ui.js'));
  return { file, bytes: output.bytes, swagger };
}

/** @param {string} path */
function isAbsent(path) {
  return absent.some((name) => path === name || (name.endsWith('/*') && path.startsWith(name.slice(0, -1))));
}

/** The page is served from files, which stay beside the program. */
async function copySwaggerAssets() {
  const require = createRequire(import.meta.resolve('@nestjs/swagger'));
  const from = dirname(require.resolve('swagger-ui-dist/package.json'));
  const to = join(out, 'swagger-ui');
  await mkdir(to, { recursive: true });
  await Promise.all([...swaggerAssets, 'LICENSE', 'NOTICE'].map((name) => cp(join(from, name), join(to, name))));
}
