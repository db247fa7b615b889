import { readdirSync } from 'node:fs';

/**
 * What distributions keep of language runtimes and tools for documents outside /usr: without it Java does not start, R has no options, and graphviz
 * finds no font. Names of files and directories that are there for everybody; never all of a directory that may hold secrets (maven/settings.xml,
 * R/Renviron.site, npmrc, php/8.2/fpm, mysql/debian.cnf). In each only what others may read can be read: nothing is mapped to the sandbox's id.
 * Each that is there is a mount of its own, some 30 µs: what only configures what works without is left out.
 */
const files: readonly string[] = [
  // Names of services, protocols and types.
  '/etc/services',
  '/etc/protocols',
  '/etc/mime.types',
  // Documents, fonts and pictures.
  '/etc/fonts',
  '/var/cache/fontconfig',
  '/etc/ghostscript',
  '/var/lib/ghostscript',
  '/etc/groff',
  '/etc/texmf',
  '/var/lib/texmf',
  '/var/lib/tex-common',
  '/etc/sgml',
  '/etc/xml',
  '/var/lib/sgml-base',
  '/var/lib/xml-core',
  '/var/lib/aspell',
  '/var/lib/ispell',
  '/var/lib/dictionaries-common',
  '/etc/libreoffice/sofficerc',
  '/etc/libreoffice/psprint.conf',
  '/etc/libreoffice/registry',
  '/var/lib/libreoffice',
  '/etc/vulkan',
  '/etc/OpenCL',
  // Runtimes.
  '/etc/maven/m2.conf',
  '/etc/maven/logging',
  '/etc/R/Renviron',
  '/etc/R/Makeconf',
  '/etc/R/ldpaths',
  '/etc/R/repositories',
  '/etc/mono',
  '/etc/dotnet/install_location',
  '/etc/octaverc',
  '/etc/nim',
  '/etc/racket/config.rktd',
  '/etc/sbclrc',
  '/var/lib/gems',
  '/var/lib/ghc',
];

/** The same, of which there are several versions: a directory, and what in it. */
const versions: readonly (readonly [folder: string, name: RegExp, inside: readonly string[]])[] = [
  ['/etc', /^java-\d+-[a-z]+$/, ['']],
  ['/etc', /^ImageMagick-\d+$/, ['']],
  ['/etc', /^GraphicsMagick-[\d.]+$/, ['']],
  ['/etc/php', /^\d+\.\d+$/, ['/cli', '/mods-available']],
];

/** Those that may be on this machine. */
export const runtimeFiles = (): readonly string[] => [
  ...files,
  ...versions.flatMap(([folder, pattern, inside]) =>
    namesIn(folder)
      .filter((name) => pattern.test(name))
      .flatMap((name) => inside.map((rest) => `${folder}/${name}${rest}`)),
  ),
];

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
