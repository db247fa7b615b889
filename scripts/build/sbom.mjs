// Writes dist/sbom.cdx.json: the components of the package in the CycloneDX format. The library has no dependencies at
// run time; the headers that the addon is compiled with are components of the binaries.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const output = 'dist/sbom.cdx.json';
const compiledIn = ['node-addon-api'];

const bom = JSON.parse(
  execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--omit', 'peer'], { encoding: 'utf8' }),
);
const own = bom.metadata.component;

// Equal contents give equal files, so that a build can be compared.
delete bom.serialNumber;
delete bom.metadata.timestamp;
// npm takes the name of the directory.
own.name = JSON.parse(readFileSync('package.json', 'utf8')).name;
for (const name of compiledIn) {
  const { version, license, description } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8'));
  const ref = `${name}@${version}`;
  bom.components.push({
    'bom-ref': ref,
    type: 'library',
    name,
    version,
    scope: 'required',
    description,
    purl: `pkg:npm/${name}@${version}`,
    properties: [{ name: 'nsjs:linkage', value: 'headers that the addon is compiled with' }],
    licenses: [{ license: { id: license } }],
  });
  bom.dependencies.find((entry) => entry.ref === own['bom-ref']).dependsOn.push(ref);
  bom.dependencies.push({ ref, dependsOn: [] });
}
writeFileSync(output, `${JSON.stringify(bom, null, 2)}\n`);
