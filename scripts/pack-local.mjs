// Writes the tarballs that a release would publish, for a trial in another folder:
//
//   npm run pack:local -- DIR
//   cd elsewhere && npm install DIR/*.tgz
//
// They are the root package, which contains no binary, and the binary package of this platform. The
// steps are napi-rs's own, on a copy. In a release, `optionalDependencies` names the packages of
// all platforms; here it names only this one, so that npm does not ask a registry for the others.

import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { NapiCli } from '@napi-rs/cli'
import { fail, root, run } from './command.mjs'
import { hostTriple, platformName } from './platform.mjs'

const [folder, ...rest] = process.argv.slice(2)
if (folder === undefined || rest.length > 0) {
  console.error('usage: npm run pack:local -- DIR')
  process.exit(1)
}

// npm runs scripts in the root; the user means the folder from where they are.
const destination = resolve(process.env.INIT_CWD ?? process.cwd(), folder)
const stage = await mkdtemp(join(tmpdir(), 'upwire-pack-'))
try {
  console.log('Building upwire in release mode. The first time this takes a minute or two.')
  await run('npm run --silent build', { show: 'failure' })
  await mkdir(destination, { recursive: true })
  await stageRoot()
  const binary = await stageBinary()
  for (const cwd of [binary, stage]) {
    const [{ filename }] = JSON.parse(await pack(cwd, destination))
    console.log(join(destination, filename))
  }
} catch (error) {
  fail(error)
} finally {
  await rm(stage, { recursive: true, force: true })
}

/** Copies the files of the root package. */
async function stageRoot() {
  const [{ files }] = JSON.parse(await pack(root, stage, '--dry-run'))
  for (const { path } of files) {
    if (path.endsWith('.node')) throw new Error(`the root package must not have ${path}`)
    await mkdir(dirname(join(stage, path)), { recursive: true })
    await copyFile(join(root, path), join(stage, path))
  }
}

/** Makes the binary package and names it in the root's `optionalDependencies`. */
async function stageBinary() {
  const original = await readManifest()
  // With only this target, only its package is made.
  await writeManifest({ ...original, napi: { ...original.napi, targets: [hostTriple()] } })
  const cli = new NapiCli()
  const addon = `upwire.${platformName}.node`
  await copyFile(join(root, 'native', addon), join(stage, addon))
  await cli.createNpmDirs({ cwd: stage })
  await cli.artifacts({ cwd: stage, outputDir: '.', npmDir: 'npm' })
  const options = { cwd: stage, tagStyle: 'npm', ghRelease: false, skipOptionalPublish: true }
  await cli.prePublish(options)
  const { optionalDependencies } = await readManifest()
  await writeManifest({ ...original, optionalDependencies })
  return join(stage, 'npm', platformName)
}

async function readManifest() {
  return JSON.parse(await readFile(join(stage, 'package.json'), 'utf8'))
}

async function writeManifest(manifest) {
  await writeFile(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

function pack(cwd, to, ...flags) {
  const line = ['npm pack --json --ignore-scripts', ...flags].join(' ')
  return run(line, { cwd, show: 'failure', env: { npm_config_pack_destination: to } })
}
